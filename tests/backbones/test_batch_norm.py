"""The fused batch norm against Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.backbones.batch_norm import BatchNormalization

ARGUMENTS = {"momentum": 0.9, "epsilon": 1e-5}
SHAPE = (6, 5, 4, 3)
NUM_VALUES = 6 * 5 * 4  # of each channel


def maps(seed=0, shape=SHAPE):
    values = np.random.default_rng(seed).normal(2, 3, size=shape)
    return tf.constant(values, tf.float32)


def layers_with_equal_weights(**arguments):
    layers = [
        make(**ARGUMENTS, **arguments)
        for make in (BatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build((None, None, None, 3))
        # gamma, beta, moving mean, moving variance
        layer.set_weights(np.array([[1.5, 0.5, -1], [0.1, 2, 3], [2, 1, 0], [9, 4, 1]]))
    return layers


def test_training_outputs_and_gradients_equal_keras():
    results = []
    for layer in layers_with_equal_weights():
        inputs, upstream = maps(), maps(seed=1)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            objective = tf.reduce_sum(outputs * upstream)
        results.append(
            [outputs, *tape.gradient(objective, [inputs, *layer.trainable_variables])]
        )
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_running_statistics_take_the_unbiased_variance():
    layer, _ = layers_with_equal_weights()
    layer(maps(), training=True)
    values = np.reshape(maps(), (NUM_VALUES, 3)).astype(np.float64)
    mean = 0.9 * np.array([2, 1, 0]) + 0.1 * values.mean(axis=0)
    # Keras's own divides by the number of values, PyTorch's by one less, as here.
    variance = 0.9 * np.array([9, 4, 1]) + 0.1 * values.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)


def test_inference_equals_keras_and_leaves_the_statistics():
    ours, expected = layers_with_equal_weights()
    before = [np.array(weight) for weight in ours.get_weights()]
    np.testing.assert_allclose(ours(maps()), expected(maps()), rtol=1e-5, atol=1e-5)
    for weight, value in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_frozen_layer_normalizes_by_its_running_statistics():
    layer, _ = layers_with_equal_weights()
    expected = layer(maps(), training=False)
    layer.trainable = False
    np.testing.assert_array_equal(layer(maps(), training=True), expected)
    np.testing.assert_array_equal(layer.moving_mean, [2, 1, 0])


def test_features_without_positions_are_normalized_too():
    inputs = maps(shape=(8, 3))
    for training in (True, False):
        ours, expected = (
            make(**ARGUMENTS)(inputs, training=training)
            for make in (BatchNormalization, keras.layers.BatchNormalization)
        )
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("training", [True, False])
def test_half_precision_maps_keep_their_type(precision, training):
    ours, _ = layers_with_equal_weights(dtype=f"mixed_{precision}")
    _, expected = layers_with_equal_weights()
    outputs = ours(maps(), training=training)
    assert outputs.dtype == precision
    assert ours.moving_mean.dtype == "float32"
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), expected(maps(), training=training), atol=0.05
    )
