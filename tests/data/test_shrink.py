"""Pictures for people: small, at their own aspect, and of every shape."""

import numpy as np
import pytest

from npid_tf.data.shrink import shrink


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
