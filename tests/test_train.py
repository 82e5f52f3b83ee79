"""The training program: its workdir, and going on after every kind of interruption."""

import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.callbacks import read_metrics
from npid_tf.checkpoints import Checkpoints, list_checkpoints
from npid_tf.config import Config
from npid_tf.train import train

SMOKE = pathlib.Path(__file__).resolve().parent.parent / "configs" / "smoke.cfg"
# NCE's moving Z, batch norm, momentum, random views: everything that a run keeps.
CONFIG = Config(
    split="train[:160]",
    eval_split="test[:40]",
    image_size=8,
    augmentation="moco_v2",
    width=4,
    embedding_dim=16,
    loss="nce",
    num_negatives=20,
    z_decay=0.9,
    bank_init="forward",
    epochs=3,
    batch_size=32,
    k=(5,),
)
NUM_KILLS = int(os.environ.get("NUM_KILLS", 2))


def in_workdir(path, **changes):
    return dataclasses.replace(CONFIG, workdir=str(path), **changes)


def saved_tensors(workdir):
    newest = list_checkpoints(os.path.join(workdir, "checkpoints"))[-1]
    reader = tf.train.load_checkpoint(os.path.join(newest, "variables"))
    tensors = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    files = [name for name in os.listdir(newest) if name.endswith(".npy")]
    return tensors | {name: np.load(os.path.join(newest, name)) for name in files}


CLASSIFIER = {
    "loss": "instance_classifier",
    "bank_init": "forward_centred",
    "label_smoothing": 0.2,
    "smoothing_neighbors": 7,
    "row_learning_rate": 2.0,
    "proximal_weight": 0.0,
}


def metrics_without_time(workdir):
    lines = read_metrics(os.path.join(workdir, "metrics.jsonl"))
    for line in lines:
        del line["images_per_second"], line["seconds"]
    return lines


def assert_same_run(workdir, other):
    tensors, others = saved_tensors(workdir), saved_tensors(other)
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)
    assert metrics_without_time(workdir) == metrics_without_time(other)


def test_the_workdir_gets_all_it_should(trained_workdir):
    names = os.listdir(trained_workdir.workdir)
    assert {"flags.cfg", "metrics.jsonl", "curves.png", "tensorboard"} <= set(names)
    (line,) = read_metrics(os.path.join(trained_workdir.workdir, "metrics.jsonl"))
    assert line["epoch"] == 1
    assert {"loss", "images_per_second", "seconds", "learning_rate"} <= line.keys()
    assert {"alignment", "uniformity", "positive_rank"} <= line.keys()


def test_a_checkpoint_holds_bank_z_optimizer_and_step(tmp_path):
    train(in_workdir(tmp_path, epochs=1))
    names = " ".join(saved_tensors(tmp_path))
    for part in ("rows-000000000000", "encoder", "loss/z", "optimizer", "step"):
        assert part in names


def test_a_finished_run_says_so_and_changes_nothing(tmp_path, capsys):
    config = in_workdir(tmp_path, epochs=1)
    train(config)
    before = saved_tensors(tmp_path)
    train(config)
    assert "Finished" in capsys.readouterr().out
    after = saved_tensors(tmp_path)
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])


def test_resumed_with_other_flags_names_them(tmp_path, capsys):
    train(in_workdir(tmp_path, epochs=1))
    train(in_workdir(tmp_path, epochs=2))
    out = capsys.readouterr().out
    assert "Other than before: --epochs=2" in out
    assert "Resuming at epoch 2, step 1." in out


@pytest.mark.parametrize(
    ("moment", "flags"),
    [("epoch end", {}), ("mid-epoch", {}), ("mid-epoch", CLASSIFIER)],
    ids=["epoch end", "mid-epoch", "mid-epoch of the classifier"],
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


def test_changed_data_stop_the_resumed_run(tmp_path):
    train(in_workdir(tmp_path, epochs=1))
    with pytest.raises(ValueError, match=r"num_instances was 160, now 192"):
        train(in_workdir(tmp_path, epochs=2, split="train[:192]"))


def test_another_model_stops_the_resumed_run_and_names_shapes(tmp_path):
    train(in_workdir(tmp_path, epochs=1))
    before = saved_tensors(tmp_path)
    with pytest.raises(ValueError, match=r"another model.*checkpoint.*in the model"):
        train(in_workdir(tmp_path, epochs=2, embedding_dim=8))
    after = saved_tensors(tmp_path)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path):
    train(in_workdir(tmp_path, epochs=1))
    before = saved_tensors(tmp_path)
    with pytest.raises(ValueError, match="diverged"):
        train(in_workdir(tmp_path, epochs=3, learning_rate=1e30, schedule="cosine"))
    after = saved_tensors(tmp_path)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"batch_size=500, 160 images"):
        train(in_workdir(tmp_path, batch_size=500))
    assert not os.path.exists(tmp_path / "checkpoints")


@pytest.mark.slow
def test_two_replicas_train_and_evaluate_every_epoch(tmp_path):
    train(in_workdir(tmp_path, strategy="mirrored"))
    lines = metrics_without_time(tmp_path)
    assert len(lines) == 3
    assert all(0 <= line["knn_top1"] <= 1 for line in lines)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(tmp_path, precision):
    train(in_workdir(tmp_path, precision=precision, epochs=1))
    (line,) = metrics_without_time(tmp_path)
    assert np.isfinite(line["loss"])


def test_every_loss_and_gradient_accumulation_train(tmp_path):
    for number, changes in enumerate(
        (
            {"loss": "nonparametric_softmax", "accumulation_steps": 2},
            {
                "loss": "sampled_softmax",
                "negatives": "per_sample",
                "optimizer": "muon",
            },
        )
    ):
        train(in_workdir(tmp_path / str(number), epochs=1, **changes))
        (line,) = metrics_without_time(tmp_path / str(number))
        assert np.isfinite(line["loss"])


def test_the_metrics_are_json_lines(tmp_path):
    train(in_workdir(tmp_path, epochs=2))
    with open(tmp_path / "metrics.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["epoch"] for line in lines] == [1, 2]
