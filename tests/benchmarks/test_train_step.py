"""The benchmark of the training step at tiny size."""

import types

import numpy as np
import pytest

import train_step

# A program of benchmarks/, of a minute or so.
pytestmark = pytest.mark.slow


SIZES = {"batch_size": 4, "num_instances": 20, "num_negatives": 8}


def test_prints_every_loss_in_every_library(capsys):
    options = [f"--{name}={value}" for name, value in SIZES.items()]
    train_step.main(["--width=2", "--repeats=1", *options])
    output = capsys.readouterr().out
    for library in (train_step.FLOAT32, train_step.BFLOAT16, *train_step.TORCH):
        for loss in train_step.LOSSES:
            assert f"| {loss} | {library} | 2 |" in output


@pytest.mark.parametrize("half", [False, True])
def test_the_step_that_is_timed_learns(half):
    arguments = types.SimpleNamespace(**SIZES)
    model = train_step.make_model("exact softmax", 2, half, arguments)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    step = train_step.tensorflow_step(model, images, np.arange(4))
    losses = [step() for _ in range(10)]
    assert losses[-1] < losses[0]
    assert model.step.numpy() == 10
