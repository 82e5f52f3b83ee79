"""Heads on a frozen encoder, and the published settings."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.backbones import build_backbone
from npid_tf.distribution.strategies import build_strategy
from npid_tf.encoders.encoder import build_encoder
from npid_tf.evaluation.classifiers.classifier import train_classifier, with_labels
from npid_tf.evaluation.classifiers.linear_heads import (
    PRESETS,
    Heads,
    build_heads,
    get_preset,
    losses_of_heads,
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


IMAGES = np.random.default_rng(1).integers(0, 256, [12, 1, 1, 3], np.uint8)
LABELS = np.random.default_rng(2).integers(0, 3, 12)


def trained_heads(num_heads, batch_size=6, learning_rate=0.1):
    """Kernels of heads on the pixels themselves, [3, 3] each."""
    images = keras.Input([1, 1, 3])
    heads = [
        keras.layers.Dense(
            3,
            kernel_initializer="zeros",
            kernel_regularizer=keras.regularizers.L2(0.01 / 2),
            bias_regularizer=keras.regularizers.L2(0.01 / 2),
        )(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images)))
        for _ in range(num_heads)
    ]
    network = Heads(images, tuple(heads))
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(12)))
    batches = batches.batch(batch_size).repeat()
    train_classifier(
        network, with_labels(batches, LABELS, num_heads), 12 // batch_size, 4,
        learning_rate, (2,), 0.2, True, **losses_of_heads(num_heads, batch_size),
    )  # fmt: skip
    return [v.numpy() for v in network.trainable_variables if v.name == "kernel"]


def sgd(batch_size=6):
    """That kernel by SGD in float64."""
    x = np.c_[IMAGES.reshape(12, 3) / 255.0, np.ones(12)]
    weights, velocity = np.zeros([4, 3]), np.zeros([4, 3])
    steps = 12 // batch_size
    for step in range(4 * steps):
        rate = 0.1 * (0.2 if step >= 2 * steps else 1.0)
        some = slice(step % steps * batch_size, (step % steps + 1) * batch_size)
        scores = np.exp(x[some] @ weights)
        residual = scores / scores.sum(axis=1, keepdims=True) - np.eye(3)[LABELS[some]]
        gradient = x[some].T @ residual / batch_size + 0.01 * weights
        velocity = 0.9 * velocity - rate * gradient
        weights += 0.9 * velocity - rate * gradient
    return weights[:-1]


def test_heads_together_learn_as_each_alone():
    kernel, other = trained_heads(2)
    np.testing.assert_array_equal(kernel, other)
    np.testing.assert_allclose(kernel, trained_heads(1)[0], rtol=1e-5)
    np.testing.assert_allclose(kernel, sgd(), rtol=1e-4, atol=1e-5)


def test_replicas_with_batches_of_different_sizes_learn_as_one():
    with build_strategy("mirrored").scope():
        (kernel,) = trained_heads(1, batch_size=3)
    np.testing.assert_allclose(kernel, sgd(batch_size=3), rtol=1e-4, atol=1e-5)


def test_heads_that_diverge_are_told():
    with pytest.raises(ValueError, match="training diverged"):
        trained_heads(1, learning_rate=1e38)
