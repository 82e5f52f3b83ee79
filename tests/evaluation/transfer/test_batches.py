"""What transfer trains on, with which optimizer, and how."""

import keras
import numpy as np
import pytest

from npid_tf.evaluation.transfer.batches import (
    batches,
    build_optimizer,
    fit,
    normalized,
)


def test_every_image_comes_once_an_epoch_half_of_them_flipped():
    def example(image, is_flipped):
        return np.full([2], image, np.float32), np.float32(is_flipped)

    dataset = batches(list(range(10)), example, ([2], []), 5, 100, seed=0)
    images, flips = (
        np.array(a) for a in zip(*dataset.as_numpy_iterator(), strict=True)
    )
    assert images.shape == (100, 5, 2)
    for epoch in images[..., 0].reshape(-1, 10):
        assert sorted(epoch) == list(range(10))
    assert 0.4 < flips.mean() < 0.6
    again = batches(list(range(10)), example, ([2], []), 5, 100, seed=0)
    np.testing.assert_array_equal([i for i, _ in again.as_numpy_iterator()], images)


def test_normalized_pixels_are_what_the_backbone_takes():
    pixels = np.array([[[0, 127.5, 255]]])
    expected = [[[-0.485 / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225]]]
    np.testing.assert_allclose(normalized(pixels), expected, rtol=1e-6)
    assert normalized(pixels).dtype == np.float32


def test_the_learning_rate_rises_and_falls():
    schedule = build_optimizer(0.1, 100)._learning_rate
    rates = [float(schedule(step)) for step in (0, 5, 52, 100)]
    np.testing.assert_allclose(rates, [0, 0.1, 0.05, 0], atol=1e-3)


def test_the_loss_is_the_mean_of_so_many_batches():
    def example(image, is_flipped):
        return np.float32([image]), np.float32([0])

    dataset = batches([1.0, 3.0], example, ([1], [1]), 1, 4, seed=0)
    network = keras.Sequential([keras.layers.Identity()])
    network.compile(loss="mse")
    assert fit(network, dataset, 2) == pytest.approx((1 + 9) / 2)
