"""The blur is a Gaussian with reflected borders, one sigma per image."""

import numpy as np
import pytest

from npid_tf.data.augmentation.blur import gaussian_blur, random_blur

PLANES = np.random.default_rng(0).random((3, 3, 9, 12), np.float32)


def reference_blur(image, sigma):
    """Each axis in turn: reflected, then weighed by a normalized Gaussian."""
    image = image.astype(np.float64)  # [3, height, width]
    for axis in (1, 2):
        last = image.shape[axis] - 1
        padding = [(0, 0)] * 3
        padding[axis] = (last, last)
        padded = np.moveaxis(np.pad(image, padding, mode="reflect"), axis, 0)
        blurred = np.empty_like(np.moveaxis(image, axis, 0))
        for i in range(last + 1):
            offsets = np.arange(len(padded)) - (i + last)
            weights = np.exp(-(offsets**2) / (2 * float(sigma) ** 2))
            blurred[i] = np.tensordot(weights / weights.sum(), padded, axes=1)
        image = np.moveaxis(blurred, 0, axis)
    return image


def test_blur_is_a_reflected_gaussian():
    sigmas = np.float32([0.3, 1.0, 2.0])
    expected = [reference_blur(*pair) for pair in zip(PLANES, sigmas, strict=True)]
    np.testing.assert_allclose(gaussian_blur(PLANES, sigmas), expected, atol=2e-6)


def test_a_small_sigma_leaves_images_alone():
    blurred = gaussian_blur(PLANES, np.full(3, 1e-3, np.float32))
    np.testing.assert_array_equal(blurred, PLANES)


def test_a_flat_image_stays_flat():
    flat = np.full((3, 3, 5, 7), 0.25, np.float32)
    blurred = gaussian_blur(flat, np.float32([0.1, 1.0, 2.0]))
    np.testing.assert_allclose(blurred, flat, atol=1e-6)


def test_sigma_and_choice_follow_the_draws():
    draws = np.float32([[0.0, 0.49], [0.5, 0.1], [0.5, 0.5]])
    blurred = random_blur(PLANES, draws)
    expected = gaussian_blur(PLANES[:2], np.float32([0.1, 0.1 + 1.9 * 0.5]))
    np.testing.assert_allclose(blurred[:2], expected, atol=1e-6)
    np.testing.assert_array_equal(blurred[2], PLANES[2])


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3)])
def test_tiny_images_blur(size):
    image = np.random.default_rng(1).random((1, 3, *size), np.float32)
    blurred = gaussian_blur(image, np.float32([2.0]))
    np.testing.assert_allclose(blurred[0], reference_blur(image[0], 2.0), atol=2e-6)


def test_where_none_is_chosen_all_are_left_alone():
    draws = np.float32([[0.5, 0.5]] * 3)
    np.testing.assert_array_equal(random_blur(PLANES, draws), PLANES)
