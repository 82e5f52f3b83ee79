"""The flags: --help, flagfiles, and how errors end."""

import dataclasses
import json
import logging
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags
from npid_tf.runs.command_line import run, write_flagfile

from npid_tf.runs.train_flags import TrainFlags

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FIELDS = [field.name for field in dataclasses.fields(Config)]


def run_train(*arguments):
    command = [sys.executable, "-m", "npid_tf.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


def test_help_lists_our_flags_and_no_others():
    shown = run_train("--help").stdout
    listed = re.findall(r"^  --(?:\[no\])?(\w+):", shown, re.MULTILINE)
    assert sorted(listed) == sorted(FIELDS)


def test_the_defaults_of_the_flags_are_those_of_config(parse):
    assert parse() == TrainFlags()


OTHER_VALUES = {
    "an empty list": TrainFlags(decay_epochs=()),
    "lists, spaces and None": TrainFlags(
        decay_epochs=(3, 5), k=(1,), image=("a b.png", "c.png"), eval_split=None
    ),
    "numbers and bools": TrainFlags(
        skip_corrupt=True, z_decay=0.99, weight_decay=1e-6, checkpoint_steps=7
    ),
    "numbers with a point": TrainFlags(fine_tune_rates=(0.5, 1e-5)),
    "a comma in a file's name": TrainFlags(image=("a,b.jpg", "c.png")),
    "text": TrainFlags(
        dataset="folder:/a b/c=d", data_dir="/tfds", eval_dataset="npz:x"
    ),
}


@pytest.mark.parametrize("config", OTHER_VALUES.values(), ids=OTHER_VALUES)
def test_a_written_flagfile_is_read_as_the_same_config(parse, config, tmp_path):
    write_flagfile(config, tmp_path / "flags.cfg")
    assert parse(f"--flagfile={tmp_path / 'flags.cfg'}") == config
    assert [file.name for file in tmp_path.iterdir()] == ["flags.cfg"]


def test_flags_after_the_flagfile_win(parse, tmp_path):
    write_flagfile(TrainFlags(epochs=3), tmp_path / "flags.cfg")
    assert parse(f"--flagfile={tmp_path / 'flags.cfg'}", "--epochs=9").epochs == 9


def test_an_unknown_flag_in_a_flagfile_is_refused(parse, tmp_path):
    (tmp_path / "flags.cfg").write_text("--temprature=0.1\n")
    with pytest.raises(flags.UnrecognizedFlagError, match="temprature"):
        parse(f"--flagfile={tmp_path / 'flags.cfg'}")


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("configs/*.cfg")), ids=str)
def test_every_config_parses(parse, monkeypatch, path):
    monkeypatch.chdir(REPOSITORY)  # Where its commands run and its parents are found.
    assert parse(f"--flagfile={path}") != TrainFlags()


@pytest.mark.parametrize("name", FIELDS)
def test_every_flag_is_set_by_some_config_test_or_the_readme(name):
    texts = [path.read_text() for path in REPOSITORY.glob("configs/*.cfg")]
    texts.append((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    is_set = any(re.search(rf"^--(no)?{name}\b|--{name}=", t, re.M) for t in texts)
    tests = [path.read_text() for path in REPOSITORY.glob("tests/**/test_*.py")]
    assert is_set or any(re.search(rf"\b{name}=|\"{name}\"", text) for text in tests)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--k=5,0", "`k` must be at least 1"),
        ("--k=", "`k` must be at least 1"),
        (
            "--fine_tune_rates=.1,x",
            "`fine_tune_rates` must be numbers separated by commas. Received: .1,x",
        ),
        ("--k=5,x", "`k` must be whole numbers separated by commas. Received: 5,x"),
    ],
)
def test_bad_values_are_refused(parse, flag, message):
    with pytest.raises(ValueError, match=message):
        parse(flag)


def test_a_users_error_ends_in_one_line(tmp_path):
    workdir = tmp_path / "run"
    arguments = ("--loss=typo", "--width=4", "--image_size=8", f"--workdir={workdir}")
    ended = run_train(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        "Error: Unknown loss 'typo'. Known: nonparametric_softmax, nce, "
        "sampled_softmax, instance_classifier."
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
    no_flags, monkeypatch, capsys, argument
):
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(sys, "argv", ["program", argument])
    with pytest.raises(SystemExit) as ended:
        run(lambda config, arguments: None)
    assert ended.value.code == 2
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 1
    assert shown[0].startswith("Error: ")


def test_a_reader_that_ends_early_is_no_error():
    command = f"{sys.executable} -m npid_tf.train --workdir=/tmp --help | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert "Traceback" not in ended.stderr
