"""Pictures for people: small, at their own aspect, and of every shape."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.shrink import kind_of_small_file, shrink, small_file


def test_what_fits_is_left_alone():
    image = np.zeros([5, 320, 3], np.uint8)
    assert shrink(image, 320) is image


@pytest.mark.parametrize(
    ("shape", "small"),
    [
        ((3000, 4000), (240, 320)),
        ((640, 320), (320, 160)),
        ((1, 10000), (1, 320)),
        ((10000, 1), (320, 1)),
        ((2, 5000), (1, 320)),
    ],
)
def test_what_is_larger_keeps_its_aspect(shape, small):
    image = np.full([*shape, 3], 77, np.uint8)
    shrunk = shrink(image, 320)
    assert shrunk.shape == (*small, 3)
    assert (shrunk.numpy() == 77).all()


def test_a_file_of_it_is_whole_where_small_and_a_jpeg_where_large():
    image = np.random.default_rng(0).integers(0, 256, [40, 96, 3], np.uint8)
    data = small_file(image, 160)
    assert kind_of_small_file(data) == "png"
    np.testing.assert_array_equal(tf.io.decode_png(data), image)
    data = small_file(np.full([400, 800, 3], 77, np.uint8), 160)
    assert kind_of_small_file(data) == "jpeg"
    decoded = tf.io.decode_jpeg(data).numpy().astype(int)
    assert decoded.shape == (80, 160, 3)
    assert abs(decoded - 77).max() <= 1
