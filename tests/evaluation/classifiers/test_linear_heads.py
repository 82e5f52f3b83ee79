"""Heads on a frozen encoder, and the published settings."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.backbones import build_backbone
from npid_tf.encoders.encoder import build_encoder
from npid_tf.evaluation.classifiers.linear_heads import (
    PRESETS,
    build_heads,
    get_preset,
    scaled_epochs,
)


def test_the_presets_are_the_published_ones():
    rates = {name: preset.learning_rate for name, preset in PRESETS.items()}
    assert rates == {"multihead": 0.01, "places205": 0.01, "inat2018": 0.01,
                     "avgpool": 30}  # fmt: skip
    decays = {name: (p.epochs, p.decay_epochs) for name, p in PRESETS.items()}
    assert decays == {
        "multihead": (90, (30, 60, 90)),
        "places205": (28, (7, 14, 21)),
        "inat2018": (84, (24, 48, 72)),
        "avgpool": (100, (60, 80)),
    }
    with pytest.raises(ValueError, match=r"Unknown linear_preset 'x'.*multihead, pla"):
        get_preset("x")


def test_a_shorter_run_drops_its_rate_in_proportion():
    assert scaled_epochs(9, 90, (30, 60, 90)) == (3, 6, 9)
    assert scaled_epochs(100, 100, (60, 80)) == (60, 80)


def test_nothing_but_the_heads_is_trained_even_in_training():
    keras.utils.set_random_seed(0)
    encoder = build_encoder(build_backbone("resnet18_cifar", 8, width=4), 5)
    network = build_heads(encoder, ("conv2", "features"), 3, batch_norm=True)
    assert [v.path for v in network.trainable_variables] == [
        f"{layer}_scores/{name}"
        for layer in ("conv2", "features")
        for name in ("kernel", "bias")
    ]
    # Batch norm of the 4 channels of the stage, not of their 8 x 8 positions.
    scales = [v.shape[0] for v in network.weights if v.path.endswith("moving_variance")]
    assert scales[-2:] == [4, 32]
    before = [variable.numpy() for variable in encoder.variables]
    images = np.random.default_rng(0).integers(0, 256, [6, 8, 8, 3], np.uint8)
    with tf.GradientTape() as tape:
        scores = network(images, training=True)
        loss = tf.add_n([tf.reduce_sum(head) for head in scores])
    assert all(g is not None for g in tape.gradient(loss, network.trainable_variables))
    for variable, value in zip(encoder.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
