"""One writer to a folder at a time, whatever became of the one before."""

import os
import pathlib
import subprocess
import sys
import threading

import pytest

from npid_tf.errors import UserError
from npid_tf.files.run_lock import in_turn, only_writer

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "npid_tf"
# The module alone: TensorFlow has nothing to do with it.
HOLDER = f"""
import sys, types
sys.modules["npid_tf"] = types.ModuleType("npid_tf")
sys.modules["npid_tf"].__path__ = [{str(PACKAGE)!r}]
from npid_tf.files.run_lock import only_writer
with only_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path / "run"` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_and_told_who_it_is(holder, tmp_path):
    with (
        pytest.raises(UserError, match=rf"is in use by process {holder.pid} on "),
        only_writer(tmp_path / "run"),
    ):
        raise AssertionError("both hold it")
    holder.communicate("")
    with only_writer(tmp_path / "run"):
        pass


def test_a_process_that_was_killed_blocks_nobody(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert os.listdir(tmp_path / "run") == ["lock"]
    with only_writer(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path / "run") == []


def test_in_turn_waits_for_the_other(holder, tmp_path, capsys):
    timer = threading.Timer(0.3, holder.stdin.close)
    timer.start()
    with in_turn(tmp_path / "run"):
        assert holder.wait(60) == 0
    timer.join()
    assert f"Waiting: {tmp_path / 'run'} is in use" in capsys.readouterr().out


def test_the_same_process_is_refused_too(tmp_path):
    with only_writer(tmp_path), pytest.raises(UserError), only_writer(tmp_path):
        pass


def test_nothing_is_left_of_a_lock(tmp_path):
    with pytest.raises(KeyError), only_writer(tmp_path / "new"):
        raise KeyError
    assert os.listdir(tmp_path) == []
    with only_writer(tmp_path / "new"):
        (tmp_path / "new" / "kept").touch()
    assert os.listdir(tmp_path / "new") == ["kept"]
