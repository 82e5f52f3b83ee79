"""The training program: its workdir, its messages, and what it refuses."""

import json
import os

import numpy as np
import pytest

from npid_tf.runs.train import train
from npid_tf.training.metrics_file import read_metrics
from tests.support.tiny_run import in_workdir, metrics_without_time, saved_tensors


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
            {
                "loss": "nonparametric_softmax",
                "accumulation_steps": 2,
                "num_negatives": 4096,
                "z_decay": None,
            },
            {
                "loss": "sampled_softmax",
                "negatives": "per_sample",
                "z_decay": None,
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
