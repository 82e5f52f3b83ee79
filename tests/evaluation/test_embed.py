"""Embedding a data set keeps rows by index."""

import numpy as np
import tensorflow as tf

from npid_tf.evaluation.embed import embed

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


def test_the_model_is_traced_once_and_for_inference():
    traced = []

    def model(images, training):
        traced.append(training)
        return images[:, 0, 0]

    embed(model, shuffled_batches(), 10)
    assert traced == [False]
