"""`npid_tf.train` as two workers: equal to one, and killed in mid-epoch."""

import json
import os
import re
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.support import programs

pytestmark = pytest.mark.slow

# At higher rates this small network multiplies rounding errors by ten in every step.
ARGUMENTS = [
    *("-m", "npid_tf.train", "--flagfile=configs/smoke.cfg", "--head_batch_norm"),
    *("--learning_rate=0.001", "--temperature=0.3", "--epochs=3"),
    *("--bank_init=forward", "--bank_placement=sharded", "--strategy=multi_worker"),
]


def saved(workdir):
    """Every tensor of the newest checkpoint."""
    newest = sorted((workdir / "checkpoints").iterdir())[-1]
    reader = tf.train.load_checkpoint(str(newest / "variables"))
    tensors = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    rows = [np.load(path) for path in sorted(newest.glob("rows-*.npy"))]
    return {**tensors, "bank": np.concatenate(rows)}


def losses(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "two"
    workers = programs.start_workers([*ARGUMENTS, f"--workdir={workdir}"])
    outputs = [programs.finish(worker) for worker in workers]
    return workdir, outputs


def test_two_workers_equal_one(two_workers, tmp_path):
    workdir, _ = two_workers
    one_device = [*ARGUMENTS, "--strategy=one_device"]
    programs.finish(programs.start([*one_device, f"--workdir={tmp_path}"]))
    # Of the first epoch: rounding errors grow; test_steps.py compares weights and bank.
    np.testing.assert_allclose(losses(workdir)[0], losses(tmp_path)[0], rtol=1e-5)


def test_the_chief_alone_prints_and_writes(two_workers):
    workdir, (chief, other) = two_workers
    assert "on 2 device(s), 16 each" in chief
    assert "Plan:" not in other
    assert len(losses(workdir)) == 3
    assert len(list((workdir / "tensorboard").rglob("events*"))) == 1


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_worker_ends_the_other_and_both_go_on(two_workers, tmp_path, lost):
    uninterrupted, _ = two_workers
    arguments = [*ARGUMENTS, f"--workdir={tmp_path}"]
    workers = programs.start_workers(arguments)
    while not (tmp_path / "checkpoints" / "000000004").exists():
        assert workers[0].poll() is None
        time.sleep(0.05)
    os.kill(workers[lost].pid, signal.SIGKILL)
    output, _ = workers[1 - lost].communicate(timeout=60)
    assert workers[1 - lost].returncode == 1
    assert "Error: another worker was lost" in output
    workers[lost].communicate()

    resumed, _ = [programs.finish(w) for w in programs.start_workers(arguments)]
    assert re.search(r"Resuming at epoch \d, step", resumed)
    expected = saved(uninterrupted)
    for name, tensor in saved(tmp_path).items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)
    assert losses(tmp_path) == losses(uninterrupted)
