"""`--help`, and how programs end."""

import dataclasses
import io
import json
import logging
import os
import pathlib
import re
import subprocess
import sys

import pytest

from npid_tf.command_line.program import run
from npid_tf.command_line.programs import PROGRAMS
from npid_tf.command_line.recipes import RecipeFlags
from npid_tf.losses import LOSSES
from npid_tf.runs.train_flags import TrainFlags, groups

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def run_train(*arguments):
    command = [sys.executable, "-m", "npid_tf.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


def listed(text):
    return re.findall(r"^  --(?:\[no\])?(\w+):", text, re.MULTILINE)


def test_help_lists_the_flags_of_train_in_groups_and_no_others():
    ended = run_train("--help")
    # Nothing of TensorFlow's own log: not that there is no GPU, nor any advice.
    assert ended.stderr == ""
    shown = ended.stdout
    fields = [*dataclasses.fields(RecipeFlags), *dataclasses.fields(TrainFlags)]
    assert listed(shown) == [field.name for field in fields]
    for title in groups():
        assert f"\n{title}:\n" in shown


@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - {"train"}))
@pytest.mark.slow
def test_help_of_every_program_lists_its_own(name):
    command = [sys.executable, "-m", f"npid_tf.{name}", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert shown.returncode == 0
    assert listed(shown.stdout)
    if name != "convert":
        assert "weight_decay" not in listed(shown.stdout)


def test_a_users_error_ends_in_one_line(tmp_path):
    workdir = tmp_path / "run"
    arguments = ("--loss=typo", "--width=4", "--image_size=8", f"--workdir={workdir}")
    ended = run_train(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"Error: Unknown loss 'typo'. Known: {', '.join(LOSSES)}."
    )
    assert "Traceback" not in ended.stderr
    assert not workdir.exists()


# Each is run as code of a file inside the package: errors of C code have no frame of
# their own, so the innermost one is the package's.
FAULTS = {
    "numpy_matmul": "np.ones([2, 3]) @ np.ones([2, 3])",
    "numpy_concatenate": "np.concatenate([])",
    "numpy_reshape": "np.zeros(3).reshape(2, 2)",
    "int": "int('x')",
    "zip": "list(zip([1], [], strict=True))",
    "json": "json.loads('{')",
    "missing_file": "open('/no/such/file')",
    "import": "__import__('no_such_module')",
    "tensorflow_op": "tf.matmul(tf.ones([2, 3]), tf.ones([2, 3]))",
    "tensorflow_shape": "tf.constant([1, 2], shape=[3, 3])",
    "keras": "keras.layers.Dense(2)(tf.ones([]))",
    "library_argument": "MemoryBank(4, dim=2)",
}
MISTAKES = {
    "value": ("throw(UserError('`k` is off.'))", "Error: `k` is off."),
    "file": ("throw(FileError('x.npy is cut.'))", "Error: x.npy is cut."),
    "package": ("throw(MissingPackageError('pip it.'))", "Error: pip it."),
    "full_disk": (
        "throw(OSError(errno.ENOSPC, 'No space left on device', 'a'))",
        "Error: [Errno 28] No space left on device: 'a'",
    ),
    "no_rights": (
        "throw(PermissionError(errno.EACCES, 'Permission denied', 'b'))",
        "Error: [Errno 13] Permission denied: 'b'",
    ),
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory):
    """{name: (exit status, standard error)} of programs that end in these errors."""
    folder = tmp_path_factory.mktemp("endings")
    codes = FAULTS | {name: code for name, (code, _) in MISTAKES.items()}
    codes |= {"ctrl_c": "throw(KeyboardInterrupt())", "fine": "0"}
    codes["warning"] = "warnings.warn('Odd pixels.')"
    program = REPOSITORY / "tests" / "support" / "endings.py"
    command = [sys.executable, program, folder, json.dumps(codes)]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    statuses = json.loads((folder / "statuses.json").read_text())
    return {name: (statuses[name], (folder / name).read_text()) for name in codes}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_package_keeps_its_traceback(endings, name):
    status, shown = endings[name]
    assert status == 1
    assert "Traceback (most recent call last)" in shown
    assert not shown.startswith("Error:")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_users_mistake_is_one_line_and_status_2(endings, name):
    assert endings[name] == (2, MISTAKES[name][1] + "\n")


def test_ctrl_c_ends_without_a_traceback(endings):
    assert endings["ctrl_c"] == (130, "Stopped by Ctrl-C.\n")


def test_a_program_that_ends_well_says_nothing(endings):
    assert endings["fine"] == (0, "")


def test_a_warning_is_one_line(endings):
    assert endings["warning"] == (0, "Warning: Odd pixels.\n")


@pytest.mark.parametrize(
    "argument",
    ["--temprature=1", "--epochs=two", "--flagfile=no/such.cfg", "--skip_corrupt=x"],
)
def test_a_flag_that_does_not_parse_is_one_line_and_status_2(
    monkeypatch, capsys, argument
):
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(sys, "argv", ["program", argument])
    with pytest.raises(SystemExit) as ended:
        run(lambda given: None, {"train": dataclasses.fields(TrainFlags)})
    assert ended.value.code == 2
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 1
    assert shown[0].startswith("Error: ")


def test_names_of_any_bytes_can_be_printed(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(sys, "argv", ["program"])
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit) as ended:
        run(lambda given: print(os.fsdecode(b"caf\xe9.jpg")), {})
    assert not ended.value.code
    assert out.buffer.getvalue() == b"caf\\udce9.jpg\n"


def test_a_reader_that_ends_early_is_no_error():
    command = f"{sys.executable} -m npid_tf.train --workdir=/tmp --help | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert "Traceback" not in ended.stderr
