"""Evaluated images are resized and cut in the middle, nothing else."""

import resource

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.preprocess import preprocess_for_eval

RANDOM = np.random.default_rng(0)


def random_image(*shape):
    return RANDOM.integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (2, 8, 8)])
def test_an_image_of_the_right_size_is_left_alone(shape):
    image = random_image(*shape)
    np.testing.assert_array_equal(preprocess_for_eval(image, shape[-1], 1.0), image)


def test_the_central_square_is_kept():
    image = random_image(8, 16)
    np.testing.assert_array_equal(preprocess_for_eval(image, 8, 1.0), image[:, 4:12])
    turned = image.swapaxes(0, 1)
    np.testing.assert_array_equal(preprocess_for_eval(turned, 8, 1.0), turned[4:12])


def test_crop_fraction_leaves_the_border_out():
    image = random_image(16, 20)  # 14 / 0.875 = 16: nothing is resized.
    np.testing.assert_array_equal(
        preprocess_for_eval(image, 14, 0.875), image[1:15, 3:17]
    )


@pytest.mark.parametrize("size", [(2, 2), (5, 3), (7, 100), (100, 7), (1, 9), (64, 65)])
@pytest.mark.parametrize("crop_fraction", [1.0, 0.875, 0.3])
def test_every_size_becomes_the_square_and_a_flat_image_stays_flat(size, crop_fraction):
    image = np.full((*size, 3), 77, np.uint8)
    result = preprocess_for_eval(image, 8, crop_fraction)
    np.testing.assert_array_equal(result, np.full((8, 8, 3), 77))


def test_halving_keeps_the_middle_of_a_gradient():
    ramp = np.arange(0, 160, 10, dtype=np.uint8)
    image = np.tile(ramp[:, None], (16, 1, 3))  # Brighter to the right.
    halved = preprocess_for_eval(image, 8, 1.0).numpy().astype(int)
    expected = image.reshape(8, 2, 8, 2, 3).mean((1, 3))
    np.testing.assert_allclose(halved[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1)


@pytest.mark.parametrize("crop_fraction", [1.0, 0.875])
def test_batched_and_single_agree(crop_fraction):
    batch = random_image(3, 11, 13)
    together = preprocess_for_eval(batch, 6, crop_fraction)
    alone = [preprocess_for_eval(image, 6, crop_fraction) for image in batch]
    np.testing.assert_array_equal(together, alone)


def test_graphs_of_unknown_size_agree_with_eager_and_know_their_shape():
    image = random_image(9, 12)
    dataset = tf.data.Dataset.from_generator(
        lambda: [image],
        output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
    ).map(lambda image: preprocess_for_eval(image, 6, 0.875))
    assert dataset.element_spec.shape == [6, 6, 3]
    (result,) = dataset
    np.testing.assert_array_equal(result, preprocess_for_eval(image, 6, 0.875))


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (3, 95), (40, 7), (7, 56)])
def test_long_images_give_the_square_that_the_whole_would(shape):
    image = random_image(*shape)
    shorter, target = min(shape), 16
    size = [round(side * target / shorter) for side in shape]
    whole = tf.image.resize(image, size, antialias=True)  # As before, of all of it.
    top, left = ((side - 14) // 2 for side in size)
    expected = tf.round(whole[top : top + 14, left : left + 14])
    square = preprocess_for_eval(image, 14, 0.875)
    np.testing.assert_allclose(square, expected, atol=1)


def test_a_line_of_pixels_takes_no_more_memory_than_an_image():
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = peak()
    for shape in ([3000, 1, 3], [1, 10000, 3]):
        preprocess_for_eval(tf.zeros(shape, tf.uint8), 224, 0.875)
    assert peak() - before < 300_000  # kilobytes; resized whole it is 1.4 and 5.8 GB
