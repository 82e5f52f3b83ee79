"""The flags: --help, flagfiles, and how errors end."""

import dataclasses
import logging
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags

from npid_tf.command_line import run, write_flagfile
from npid_tf.config import Config

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
FIELDS = [field.name for field in dataclasses.fields(Config)]


def run_train(*arguments):
    command = [sys.executable, "-m", "npid_tf.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


def test_help_lists_our_flags_and_no_others():
    shown = run_train("--help").stdout
    listed = re.findall(r"^  --(?:\[no\])?(\w+):", shown, re.MULTILINE)
    assert sorted(listed) == sorted(FIELDS)


def test_the_defaults_of_the_flags_are_those_of_config(parse):
    assert parse() == Config()


OTHER_VALUES = {
    "an empty list": Config(decay_epochs=()),
    "lists, spaces and None": Config(
        decay_epochs=(3, 5), k=(1,), image=("a b.png", "c.png"), eval_split=None
    ),
    "numbers and bools": Config(
        skip_corrupt=True, z_decay=0.99, weight_decay=1e-6, checkpoint_steps=7
    ),
    "numbers with a point": Config(fine_tune_rates=(0.5, 1e-5)),
    "text": Config(dataset="folder:/a b/c=d", data_dir="/tfds", eval_dataset="npz:x"),
}


@pytest.mark.parametrize("config", OTHER_VALUES.values(), ids=OTHER_VALUES)
def test_a_written_flagfile_is_read_as_the_same_config(parse, config, tmp_path):
    write_flagfile(config, tmp_path / "flags.cfg")
    assert parse(f"--flagfile={tmp_path / 'flags.cfg'}") == config
    assert [file.name for file in tmp_path.iterdir()] == ["flags.cfg"]


def test_flags_after_the_flagfile_win(parse, tmp_path):
    write_flagfile(Config(epochs=3), tmp_path / "flags.cfg")
    assert parse(f"--flagfile={tmp_path / 'flags.cfg'}", "--epochs=9").epochs == 9


def test_an_unknown_flag_in_a_flagfile_is_refused(parse, tmp_path):
    (tmp_path / "flags.cfg").write_text("--temprature=0.1\n")
    with pytest.raises(flags.UnrecognizedFlagError, match="temprature"):
        parse(f"--flagfile={tmp_path / 'flags.cfg'}")


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("configs/*.cfg")), ids=str)
def test_every_config_parses(parse, monkeypatch, path):
    monkeypatch.chdir(REPOSITORY)  # Where its commands run and its parents are found.
    assert parse(f"--flagfile={path}") != Config()


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


def test_a_bug_keeps_its_traceback(no_flags, monkeypatch):
    # absl puts a handler of its own there.
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(ValueError, match="invalid literal for int"):
        run(lambda config, arguments: int("bug"))
