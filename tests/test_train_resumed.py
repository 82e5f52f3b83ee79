"""The training program goes on after every kind of interruption."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from tiny_run import CLASSIFIER, RECENT, assert_same_run, in_workdir

from npid_tf.checkpoint_files import list_checkpoints
from npid_tf.checkpoints import Checkpoints
from npid_tf.train import train

SMOKE = pathlib.Path(__file__).resolve().parent.parent / "configs" / "smoke.cfg"
NUM_KILLS = int(os.environ.get("NUM_KILLS", 2))


@pytest.mark.parametrize(
    ("moment", "flags"),
    [
        ("epoch end", {}),
        ("mid-epoch", {}),
        ("mid-epoch", CLASSIFIER),
        pytest.param("mid-epoch", RECENT, marks=pytest.mark.slow),
    ],
    ids=["epoch end", "mid-epoch", "mid-epoch of the classifier", "of recent rows"],
)
def test_stopped_right_after_a_save_it_ends_as_if_uninterrupted(
    tmp_path, monkeypatch, moment, flags
):
    changes = {"checkpoint_steps": 2, "schedule": "cosine", **flags}
    train(in_workdir(tmp_path / "whole", **changes))
    save = Checkpoints.save

    def save_and_stop(self, epoch, step):
        save(self, epoch, step)
        if (epoch, step) == ((1, 0) if moment == "epoch end" else (1, 4)):
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(in_workdir(tmp_path / "stopped", **changes))
    monkeypatch.undo()
    train(in_workdir(tmp_path / "stopped", **changes))
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def command(workdir):
    # Long enough that the run cannot end before it has been killed often enough.
    return [
        *(sys.executable, "-m", "npid_tf.train", f"--flagfile={SMOKE}"),
        *(f"--workdir={workdir}", "--bank_init=forward", "--checkpoint_steps=3"),
        f"--epochs={3 * NUM_KILLS + 3}",
    ]


def wait_for_checkpoint(process, workdir, after):
    """Waits until a checkpoint newer than `after` is there, and returns its step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        saved = list_checkpoints(os.path.join(workdir, "checkpoints"))
        if saved and int(os.path.basename(saved[-1])) > after:
            return int(os.path.basename(saved[-1]))
        time.sleep(0.01)
    raise AssertionError("no new checkpoint")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The workdir of a run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    subprocess.run(command(workdir), check=True, capture_output=True)
    return workdir


@pytest.mark.slow
def test_killed_at_random_steps_it_ends_as_if_uninterrupted(whole, tmp_path):
    killed = tmp_path / "killed"
    step, moments = 0, random.Random(0)
    for _ in range(NUM_KILLS):
        process = subprocess.Popen(
            command(killed),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        step = wait_for_checkpoint(process, killed, step)
        time.sleep(moments.uniform(0, 0.3))  # Anywhere: in a step, in a save.
        assert process.poll() is None, "ended before it was killed"
        process.kill()
        process.wait()
    subprocess.run(command(killed), check=True, capture_output=True)
    assert_same_run(whole, killed)


@pytest.mark.slow
def test_sigterm_saves_in_mid_epoch_and_exits_0(whole, tmp_path):
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        command(stopped), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    wait_for_checkpoint(process, stopped, 0)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"Stopped by SIGTERM" in out
    subprocess.run(command(stopped), check=True, capture_output=True)
    assert_same_run(whole, stopped)
