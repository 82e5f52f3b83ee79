"""What of a request's tensors reaches a model."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.server.image_header import array_cost
from npid_tf.server.inputs import check_inputs
from npid_tf.server.limits import Limits, RequestError

IMAGES = {"images": tf.TensorSpec([None, None, None, 3], tf.uint8)}
FILES = {"image_bytes": tf.TensorSpec([None], tf.string)}
LIMITS = Limits(pixels=1000, images=3)


def zeros(*shape, dtype=np.uint8):
    return {"images": np.zeros(shape, dtype)}


def files(*data):
    array = np.empty(len(data), object)
    array[:] = data
    return {"image_bytes": array}


def test_images_and_files_cost_their_pixels():
    jpeg = tf.io.encode_jpeg(np.zeros([4, 6, 3], np.uint8)).numpy()
    png = tf.io.encode_png(np.zeros([4, 6, 3], np.uint8)).numpy()
    cost = array_cost(4, 6, 1000)
    assert check_inputs(zeros(2, 4, 6, 3), IMAGES, LIMITS) == [cost, cost]
    # A PNG is held as it is and as RGB: half as much again as is counted for a pixel.
    assert check_inputs(files(jpeg, png), FILES, LIMITS) == [cost, cost + 4 * 6 // 2]
    number = {"x": tf.TensorSpec([None], tf.float32)}
    assert check_inputs({"x": np.zeros(2, np.float32)}, number, LIMITS) == [1, 1]


@pytest.mark.parametrize(
    ("inputs", "specs", "status", "message"),
    [
        ({}, IMAGES, 400, "does not match signature: expected {images}"),
        ({**zeros(1, 4, 4, 3), "x": 1}, IMAGES, 400, "does not match signature"),
        (zeros(1, 4, 4, 1), IMAGES, 400, r"Received: uint8 \[1, 4, 4, 1\]"),
        (zeros(1, 4, 4, 3, dtype=np.int32), IMAGES, 400, "Received: int32"),
        (zeros(4, 4, 3), IMAGES, 400, "must be uint8"),
        (zeros(0, 4, 4, 3), IMAGES, 400, "must hold 1 to 3 images"),
        (zeros(4, 4, 4, 3), IMAGES, 413, "must hold 1 to 3 images"),
        (zeros(1, 40, 40, 3), IMAGES, 413, "may have 1,000 pixels"),
        (zeros(1, 0, 4, 3), IMAGES, 400, "empty"),
        (files(b"x"), FILES, 400, "does not decode"),
        ({"image_bytes": np.zeros(2)}, FILES, 400, "must be string"),
    ],
)
def test_what_does_not_fit_is_refused(inputs, specs, status, message):
    with pytest.raises(RequestError, match=message) as caught:
        check_inputs(inputs, specs, LIMITS)
    assert caught.value.status == status


def test_inputs_must_have_the_same_number_of_rows():
    specs = {name: tf.TensorSpec([None], tf.int32) for name in "ab"}
    inputs = {"a": np.zeros(1, np.int32), "b": np.zeros(2, np.int32)}
    with pytest.raises(RequestError, match=r"several batch sizes: \[1, 2\]"):
        check_inputs(inputs, specs, LIMITS)
