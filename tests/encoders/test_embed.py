"""Embedding a data set keeps rows by index."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.distribution.strategies import build_strategy
from npid_tf.encoders.embed import embed, embed_batches
from npid_tf.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, [10, 4, 4, 3], np.uint8)


def shuffled_batches():
    """Ten images in another order, in batches of 4, 4 and 2."""
    order = np.random.default_rng(1).permutation(10)
    return tf.data.Dataset.from_tensor_slices((IMAGES[order], order)).batch(4)


def test_row_i_is_that_of_index_i():
    def mean_colors(images, training):
        return tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2])

    rows = embed(mean_colors, shuffled_batches(), 10)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, IMAGES.mean(axis=(1, 2)), rtol=1e-5)


def test_a_model_of_two_outputs_gives_two_arrays():
    def corners(images, training):
        return images[:, 0, 0], images[:, -1, -1, :2]

    first, last = embed(corners, shuffled_batches(), 10)
    np.testing.assert_array_equal(first, IMAGES[:, 0, 0])
    np.testing.assert_array_equal(last, IMAGES[:, -1, -1, :2])


def test_outputs_of_mixed_precision_are_float32():
    def halves(images, training):
        return tf.cast(images[:, 0, 0], tf.bfloat16), tf.cast(images[:, 1, 1], tf.half)

    for rows in embed(halves, shuffled_batches(), 10):
        assert rows.dtype == np.float32
    for _, outputs in embed_batches(halves, shuffled_batches(), 10):
        assert [output.dtype for output in outputs] == [np.float32] * 2


def test_the_model_is_traced_once_and_for_inference():
    traced = []

    def model(images, training):
        traced.append(training)
        return images[:, 0, 0]

    embed(model, shuffled_batches(), 10)
    assert traced == [False]


def test_missing_indices_are_nan():
    rows = embed(lambda images, training: images[:, 0, 0], shuffled_batches(), 12)
    assert np.isnan(rows).any(axis=1).tolist() == [False] * 10 + [True] * 2


@pytest.mark.parametrize("num_images", [2, 255, 257, 600])
def test_two_replicas_give_the_rows_of_one(num_images):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, [num_images, 4, 4, 3], np.uint8)
    batches = tf.data.Dataset.from_tensor_slices((images, np.arange(num_images)))
    rows = []
    for name in ("one_device", "mirrored"):
        keras.utils.set_random_seed(0)
        with build_strategy(name).scope():
            inputs = keras.Input([4, 4, 3])
            model = keras.Model(inputs, keras.layers.Conv2D(3, 4)(inputs)[:, 0, 0])
            rows.append(embed(model, batches.batch(100), num_images))
    np.testing.assert_allclose(*rows, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": None}, "`model` must be a Keras model.*NoneType"),
        ({"dataset": np.zeros([2, 3])}, r"of \(images, indices\). Received: ndarray"),
        ({"dataset": shuffled_batches().map(lambda x, _: x)}, "Received: TensorSpec"),
        ({"num_instances": 10.0}, "`num_instances` must be an integer"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changed, message):
    arguments = {
        "model": lambda images, training: images[:, 0, 0],
        "dataset": shuffled_batches(),
        "num_instances": 10,
        **changed,
    }
    with pytest.raises(UserError, match=message):
        embed(**arguments)
