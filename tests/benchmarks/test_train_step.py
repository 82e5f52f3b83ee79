"""The benchmark of the training step at tiny size."""

import types

import numpy as np

import train_step

SIZES = {"batch_size": 4, "num_instances": 20, "num_negatives": 8}


def test_prints_every_loss_in_every_library(capsys):
    options = [f"--{name}={value}" for name, value in SIZES.items()]
    train_step.main(["--width=2", "--repeats=1", *options])
    output = capsys.readouterr().out
    for library in ("npid_tf", "PyTorch, default layout", "PyTorch, channels-last"):
        for loss in train_step.LOSSES:
            assert f"| {loss} | {library} | 2 |" in output


def test_the_step_that_is_timed_learns():
    model = train_step.make_model("exact softmax", 2, types.SimpleNamespace(**SIZES))
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    step = train_step.tensorflow_step(model, images, np.arange(4))
    losses = [step() for _ in range(10)]
    assert losses[-1] < losses[0]
    assert model.step.numpy() == 10
