"""The training program goes on after every kind of interruption."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_checkpoints
from npid_tf.errors import UserError
from npid_tf.files.run_lock import only_writer
from npid_tf.runs.train import train
from tests.support.tiny_run import (
    CLASSIFIER,
    RECENT,
    assert_same_run,
    in_workdir,
    metrics_without_time,
)

SMOKE = pathlib.Path(__file__).resolve().parents[2] / "configs" / "smoke.cfg"
NUM_KILLS = int(os.environ.get("NUM_KILLS", 2))


def stop_after_saving(monkeypatch, position):
    save = Checkpoints.save

    def save_and_stop(self, epoch, step):
        save(self, epoch, step)
        if (epoch, step) == position:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """(flags) -> the workdir of a whole run with them, which is trained once."""
    workdirs = {}

    def train_whole(changes):
        key = repr(sorted(changes.items()))
        if key not in workdirs:
            workdirs[key] = tmp_path_factory.mktemp("whole")
            train(in_workdir(workdirs[key], **changes))
        return workdirs[key]

    return train_whole


@pytest.mark.parametrize(
    ("moment", "flags"),
    [
        ("epoch end", {}),
        ("mid-epoch", {}),
        pytest.param("mid-epoch", CLASSIFIER, marks=pytest.mark.slow),
        pytest.param("mid-epoch", RECENT, marks=pytest.mark.slow),
    ],
    ids=["epoch end", "mid-epoch", "mid-epoch of the classifier", "of recent rows"],
)
def test_stopped_right_after_a_save_it_ends_as_if_uninterrupted(
    uninterrupted, tmp_path, monkeypatch, moment, flags
):
    changes = {"checkpoint_steps": 2, "schedule": "cosine", **flags}
    whole = uninterrupted(changes)
    stop_after_saving(monkeypatch, (1, 0) if moment == "epoch end" else (1, 4))
    with pytest.raises(KeyboardInterrupt):
        train(in_workdir(tmp_path / "stopped", **changes))
    monkeypatch.undo()
    train(in_workdir(tmp_path / "stopped", **changes))
    assert_same_run(whole, tmp_path / "stopped")


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
@pytest.mark.parametrize(
    ("number", "status", "line"),
    [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C")],
)
def test_a_signal_saves_in_mid_epoch_and_exits_with_its_status(
    whole, tmp_path, number, status, line
):
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        command(stopped), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for_checkpoint(process, stopped, 0)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == status
    assert f"Stopped by {line}".encode() in out
    assert b"Traceback" not in err
    subprocess.run(command(stopped), check=True, capture_output=True)
    assert_same_run(whole, stopped)


@pytest.mark.slow
def test_a_second_training_in_the_workdir_is_refused_and_harms_nothing(whole, tmp_path):
    first = subprocess.Popen(
        command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for_checkpoint(first, tmp_path, 0)
    first.send_signal(signal.SIGSTOP)  # So that it does not end meanwhile.
    second = subprocess.run(command(tmp_path), capture_output=True, text=True)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert f"is in use by process {first.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.wait(timeout=300) == 0
    assert_same_run(whole, tmp_path)


def test_two_trainings_do_not_share_a_workdir(tmp_path):
    with only_writer(tmp_path), pytest.raises(UserError, match="is in use by process"):
        train(in_workdir(tmp_path))


def test_a_run_goes_on_with_another_batch_size_and_its_learning_rate(
    tmp_path, monkeypatch, capsys
):
    stop_after_saving(monkeypatch, (1, 4))
    changes = {"checkpoint_steps": 2, "schedule": "cosine", "learning_rate": 0.1}
    with pytest.raises(KeyboardInterrupt):
        train(in_workdir(tmp_path, **changes))
    monkeypatch.undo()
    train(in_workdir(tmp_path, **changes, batch_size=80))
    assert "goes on after 128 images of epoch 2" in capsys.readouterr().out
    lines = metrics_without_time(tmp_path)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    rates = [line["learning_rate"] for line in lines]
    # Of the last step of each epoch: of 15 steps, then of 6.
    expected = [0.05 * (1 + np.cos(np.pi * part)) for part in (1 / 3, 2 / 3, 1)]
    np.testing.assert_allclose(rates, expected, atol=0.03)
    assert rates[0] > rates[1] > rates[2]
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b"\0\0\n")
    (tmp_path / "flags.cfg").write_bytes(b"--epochs=3\n\xff\0\xfe\n")
    with pytest.warns(UserWarning, match=r"1 damaged line"):
        train(in_workdir(tmp_path, **changes, batch_size=32, epochs=4))
    assert (tmp_path / "flags.cfg.damaged").exists()
    assert "flags.cfg is damaged" in capsys.readouterr().out
    assert metrics_without_time(tmp_path)[:3] == lines
