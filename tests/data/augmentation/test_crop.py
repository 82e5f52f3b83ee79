"""Crop boxes lie inside the image and have the area and ratio that were asked for."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from npid_tf.data.augmentation.crop import (
    NUM_DRAWS,
    NUM_TRIES,
    crop_and_resize,
    random_box,
)

RATIO = (3 / 4, 4 / 3)
LARGEST_DRAW = float(np.nextafter(np.float32(1), np.float32(0)))


@tf.function(
    input_signature=[
        tf.TensorSpec([NUM_DRAWS]),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([2]),
    ]
)
def box_in_graph(draws, height, width, scale):
    return random_box(draws, height, width, tf.unstack(scale))


def box_of(draws, height, width, scale=(0.2, 1.0)):
    draws = tf.constant(draws, tf.float32)
    return tuple(int(part) for part in box_in_graph(draws, height, width, scale))


def tries(draws, height, width, scale):
    """(height, width) of each try as torchvision computes them, not yet rounded."""
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draws[:NUM_TRIES])
    log_ratio = np.log(RATIO[0]) + draws[NUM_TRIES : 2 * NUM_TRIES] * (
        math.log(RATIO[1]) - math.log(RATIO[0])
    )
    ratio = np.exp(log_ratio)
    return np.sqrt(area / ratio), np.sqrt(area * ratio)


def reference_box(draws, height, width, scale):
    """torchvision's RandomResizedCrop.get_params, in float64."""
    for crop_height, crop_width in zip(
        *tries(draws, height, width, scale), strict=True
    ):
        crop_height, crop_width = round(crop_height), round(crop_width)
        if 0 < crop_height <= height and 0 < crop_width <= width:
            top = math.floor(draws[-2] * (height - crop_height + 1))
            left = math.floor(draws[-1] * (width - crop_width + 1))
            return top, left, crop_height, crop_width
    crop_height, crop_width = height, width
    if width / height < RATIO[0]:
        crop_height = round(width / RATIO[0])
    elif width / height > RATIO[1]:
        crop_width = round(height * RATIO[1])
    return (
        (height - crop_height) // 2,
        (width - crop_width) // 2,
        crop_height,
        crop_width,
    )


sizes = st.integers(1, 3000)
some_draws = st.lists(
    st.floats(0, LARGEST_DRAW, width=32), min_size=NUM_DRAWS, max_size=NUM_DRAWS
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(draws=some_draws, height=sizes, width=sizes)
def test_every_box_lies_inside_the_image(draws, height, width):
    top, left, crop_height, crop_width = box_of(draws, height, width)
    assert crop_height >= 1 and crop_width >= 1
    assert 0 <= top <= height - crop_height
    assert 0 <= left <= width - crop_width


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6), height=st.integers(8, 600), width=st.integers(8, 600)
)
def test_boxes_are_torchvisions(seed, height, width):
    draws = np.random.default_rng(seed).random(NUM_DRAWS, np.float32).astype(np.float64)
    exact = np.stack(tries(draws, height, width, (0.2, 1.0)))
    assume(np.abs(exact % 1 - 0.5).min() > 1e-3)  # float32 may round these otherwise.
    reference = reference_box(draws, height, width, (0.2, 1.0))
    box = box_of(draws, height, width)
    assert box[2:] == reference[2:]
    # A position of 12.99999 may come out as 13.
    assert np.abs(np.subtract(box, reference)).max() <= 1


def test_areas_and_ratios_fill_their_ranges():
    random = np.random.default_rng(0)
    draws = tf.constant(random.random((2000, NUM_DRAWS), np.float32))
    boxes = random_box(draws, 400, 500, (0.2, 1.0))
    top, left, height, width = np.array(boxes, np.float64)
    area, ratio = height * width / (400 * 500), width / height
    assert 0.19 < area.min() < 0.21 and 0.95 < area.max() <= 1
    assert 0.74 < ratio.min() < 0.76 and 1.31 < ratio.max() < 1.35
    # Both ends of the room that a box has are reached.
    assert (top == 0).any() and (top + height == 400).any()
    assert (left == 0).any() and (left + width == 500).any()
    assert abs(np.corrcoef(top / (401 - height), left / (501 - width))[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (100, 1000, (0, 433, 100, 133)),
        (1000, 90, (440, 0, 120, 90)),
        (1, 100, (0, 49, 1, 1)),
    ],
)
def test_where_no_try_fits_the_largest_central_part_is_taken(height, width, expected):
    draws = np.full(NUM_DRAWS, 0.9)
    assert box_of(draws, height, width, (0.9, 1.0)) == expected


def test_where_no_try_fits_an_allowed_ratio_takes_the_whole():
    assert box_of(np.full(NUM_DRAWS, 0.5), 20, 24, (2.0, 2.0)) == (0, 0, 20, 24)


def test_later_tries_count_where_the_first_do_not_fit():
    draws = np.full(NUM_DRAWS, 0.5)
    draws[:3] = 0.999  # Nearly the whole area as a square: too high for 100 x 130.
    draws[3] = 0.0
    _, _, height, width = box_of(draws, 100, 130, (0.2, 1.0))
    assert height == width == round(math.sqrt(0.2 * 100 * 130))


def test_boxes_of_a_batch_are_those_of_its_images():
    draws = np.random.default_rng(0).random((50, NUM_DRAWS), np.float32)
    # Wide images: some take their first try, some a later one, some the fallback.
    boxes = np.transpose(random_box(draws, 20, 40, (0.5, 1.0)))
    for one, box in zip(draws, boxes, strict=True):
        assert tuple(box) == box_of(one, 20, 40, (0.5, 1.0))
    assert 0 < np.mean(boxes[:, 2] == 20) < 1


@pytest.mark.parametrize(
    "box", [(0, 0, 7, 9), (2, 3, 4, 5), (6, 8, 1, 1), (0, 4, 7, 1), (1, 0, 6, 9)]
)
@pytest.mark.parametrize("size", [1, 3, 8, 16])
def test_crop_and_resize_resizes_the_crop_alone(box, size):
    images = np.random.default_rng(0).integers(0, 256, (3, 7, 9, 3), np.uint8)
    top, left, height, width = box
    part = images[:, top : top + height, left : left + width]
    expected = tf.image.resize(part, [size, size])
    boxes = [np.full(3, side, np.int32) for side in box]
    planes = crop_and_resize(images, boxes, size)
    assert planes.shape == (3, 3, size, size)
    np.testing.assert_allclose(np.moveaxis(planes, 1, 3), expected, atol=1e-3)


def test_every_image_has_its_own_box():
    images = np.random.default_rng(0).integers(0, 256, (5, 7, 9, 3), np.uint8)
    boxes = np.int32(
        [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 3, 5, 1, 2], [5, 4, 3, 2, 1]]
    )
    planes = crop_and_resize(images, tuple(boxes), 6)
    for number, (top, left, height, width) in enumerate(boxes.T):
        part = images[number, top : top + height, left : left + width]
        expected = tf.image.resize(part, [6, 6])
        np.testing.assert_allclose(
            np.moveaxis(planes[number], 0, 2), expected, atol=1e-3
        )
