"""Training of heads against numpy's SGD, and where it diverges."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.distribution.strategies import build_strategy
from npid_tf.evaluation.classifiers.classifier import (
    Classifier,
    train_classifier,
    with_labels,
)

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal([12, 4]).astype(np.float32)
LABELS = RANDOM.integers(0, 3, 12)


def dataset():
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(12))).batch(6)
    return with_labels(batches.repeat(), LABELS)


def network():
    images = keras.Input([4])
    return keras.Model(
        images, keras.layers.Dense(3, kernel_initializer="zeros")(images)
    )


def train(model, epochs=4, learning_rate=0.5, nesterov=False):
    train_classifier(
        model, dataset(), 2, epochs, learning_rate, (2,), 0.2, nesterov=nesterov
    )
    return [variable.numpy() for variable in model.trainable_variables]


def sgd(weight_decay, multiplier=1.0, nesterov=False, epochs=4):
    """Kernel and bias by SGD in float64, the rate times .2 after two epochs."""
    x = np.c_[IMAGES.astype(np.float64), np.ones(12)]
    weights, velocity = np.zeros([5, 3]), np.zeros([5, 3])
    for step in range(2 * epochs):
        rate = 0.5 * (0.2 if step >= 4 else 1.0)
        some = slice(0, 6) if step % 2 == 0 else slice(6, 12)
        scores = np.exp(x[some] @ weights)
        scores /= scores.sum(axis=1, keepdims=True)
        residual = scores - np.eye(3)[LABELS[some]]
        gradient = multiplier * (x[some].T @ residual / 6 + weight_decay * weights)
        velocity = 0.9 * velocity - rate * gradient
        weights += 0.9 * velocity - rate * gradient if nesterov else velocity
    return weights[:-1], weights[-1]


@pytest.mark.parametrize(
    ("multiplier", "nesterov"), [(1.0, False), (1.0, True), (10.0, False)]
)
def test_weights_are_those_of_sgd(multiplier, nesterov):
    heads = network()
    model = Classifier(heads, 0.01, heads.trainable_variables, multiplier)
    kernel, bias = train(model, nesterov=nesterov)
    expected_kernel, expected_bias = sgd(0.01, multiplier, nesterov)
    np.testing.assert_allclose(kernel, expected_kernel, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(bias, expected_bias, rtol=1e-3, atol=1e-4)


def test_two_replicas_learn_as_one():
    with build_strategy("mirrored").scope():
        model = Classifier(network(), 0.01)
    kernel, _ = train(model)
    np.testing.assert_allclose(kernel, sgd(0.01)[0], rtol=1e-3, atol=1e-4)


def test_what_diverges_is_told():
    with pytest.raises(ValueError, match=r"training diverged.* was 1e\+38"):
        train(Classifier(network(), 1.0), learning_rate=1e38)
