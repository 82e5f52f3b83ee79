"""Colour changes agree with slow per-image references."""

import colorsys
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.data.augmentation import color
from npid_tf.data.augmentation.augment import build_augmentation

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(0, 255, (6, 5, 4, 3)).astype(np.float32)
DRAWS = RANDOM.random((6, color.NUM_DRAWS), np.float32)


def random_color(
    images,
    draws,
    strengths=(0.0, 0.0, 0.0, 0.0),
    probability=1.0,
    gray_probability=0.0,
    gray_first=False,
    hue_and_saturation=color.hsv,
):
    """Of images [batch, height, width, 3], as is easier to read here."""
    planes = color.random_color(
        np.moveaxis(images, 3, 1),
        draws,
        strengths,
        probability,
        gray_probability,
        gray_first,
        hue_and_saturation,
    )
    return np.moveaxis(planes.numpy(), 1, 3)


def gray_of(image):
    return np.repeat((image @ color.LUMA)[..., None], 3, axis=-1)


def turned(image, turn):
    """Each pixel through HSV, as Python's colorsys does it."""

    def turn_pixel(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*np.clip(pixel / 255, 0, 1))
        return colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)

    return 255 * np.apply_along_axis(turn_pixel, -1, image.astype(np.float64))


def reference_jitter(image, draws, strengths, probability):
    """torchvision's adjust_brightness, _contrast, _saturation and _hue, in float64."""
    if draws[4] >= probability:
        return image
    changes = (2 * draws[:4].astype(np.float64) - 1) * strengths
    image = image.astype(np.float64) * (1 + changes[0])
    mean = (image @ color.LUMA).mean()
    image = (1 + changes[1]) * image + (1 - (1 + changes[1])) * mean
    image = (1 + changes[2]) * image + (1 - (1 + changes[2])) * gray_of(image)
    return turned(image, changes[3])


@pytest.mark.parametrize(
    "strengths",
    [
        (0.4, 0, 0, 0),
        (0, 0.4, 0, 0),
        (0, 0, 0.4, 0),
        (0, 0, 0, 0.5),
        (0.4, 0.4, 0.4, 0.4),
    ],
)
@pytest.mark.parametrize("probability", [1.0, 0.5])
@pytest.mark.parametrize("gray_first", [True, False])
def test_jitter_is_torchvisions_in_a_fixed_order(strengths, probability, gray_first):
    strengths = tuple(map(float, strengths))
    colored = random_color(IMAGES, DRAWS, strengths, probability, 0.5, gray_first)
    for image, draws, result in zip(IMAGES, DRAWS, colored, strict=True):
        is_gray = draws[5] < 0.5
        before = gray_of(image) if is_gray and gray_first else image
        expected = reference_jitter(before, draws, strengths, probability)
        if is_gray and not gray_first:
            expected = gray_of(expected)
        np.testing.assert_allclose(result, expected, atol=5e-4)


def test_the_draws_choose_some_to_jitter_and_some_to_grey():
    chosen = DRAWS[:, 4:] < 0.5  # Or the test above sees one side only.
    assert (chosen.any(axis=0) & ~chosen.all(axis=0)).all()


def test_zero_strengths_leave_images_alone():
    np.testing.assert_allclose(random_color(IMAGES, DRAWS), IMAGES, atol=1e-4)


def test_probability_zero_leaves_images_alone():
    colored = random_color(IMAGES, DRAWS, (0.4,) * 4, probability=0.0)
    np.testing.assert_allclose(colored, IMAGES, atol=1e-4)


def test_jittered_values_stay_in_range():
    colored = random_color(IMAGES, DRAWS, (0.9,) * 4)
    assert colored.min() >= 0 and colored.max() <= 255
    assert (colored == 0).any() and (colored == 255).any()


def turn_hue(image, turn):
    """Of one image [pixels, 3]."""
    return color.turn_hue(image.T[None], np.float32([turn])).numpy()[0].T


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    turn=st.floats(-1, 1, width=32),
    colors=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=8),
)
def test_hue_turns_as_in_hsv(turn, colors):
    image = np.float32(colors)
    np.testing.assert_allclose(turn_hue(image, turn), turned(image, turn), atol=2e-3)


@pytest.mark.parametrize("turn", [1.0, -1.0, 2.0])
def test_a_full_turn_of_hue_changes_nothing(turn):
    image = IMAGES.reshape(-1, 3)
    np.testing.assert_allclose(turn_hue(image, turn), image, atol=1e-4)


def test_a_third_of_a_turn_makes_red_green():
    red = np.float32([[255, 0, 0]])
    np.testing.assert_allclose(turn_hue(red, 1 / 3), [[0, 255, 0]], atol=1e-4)
    np.testing.assert_allclose(turn_hue(red, -1 / 3), [[0, 0, 255]], atol=1e-4)


def test_images_of_a_batch_turn_on_their_own():
    planes = RANDOM.uniform(0, 255, (8, 3, 10)).astype(np.float32)
    turns = np.linspace(-0.5, 0.5, 8, dtype=np.float32)
    together = color.turn_hue(planes, turns)
    for planes_of_one, turn, result in zip(planes, turns, together, strict=True):
        np.testing.assert_array_equal(result, turn_hue(planes_of_one.T, turn).T)


def test_gray_weighs_the_channels_and_takes_its_share():
    draws = np.zeros((6, color.NUM_DRAWS), np.float32)
    draws[:, 5] = [0.0, 0.19, 0.2, 0.5, 0.99, 0.1]
    grayed = random_color(IMAGES, draws, gray_probability=0.2)
    luma = 0.299 * IMAGES[..., 0] + 0.587 * IMAGES[..., 1] + 0.114 * IMAGES[..., 2]
    for number, is_gray in enumerate([True, True, False, False, False, True]):
        expected = np.stack([luma[number]] * 3, -1) if is_gray else IMAGES[number]
        np.testing.assert_allclose(grayed[number], expected, atol=1e-4)


def test_yiq_is_that_of_addons_image_by_image():
    pytest.importorskip("tensorflow_addons", exc_type=ImportError)
    images = 100 + IMAGES / 10  # Far from where values are clipped.
    colored = random_color(
        images, DRAWS, (0.0, 0.0, 0.4, 0.4), hue_and_saturation=color.yiq
    )
    adjust = color.addons().image.adjust_hsv_in_yiq
    for image, draws, result in zip(images, DRAWS, colored, strict=True):
        turn, scale = 0.4 * (2 * draws[3] - 1), 1 + 0.4 * (2 * draws[2] - 1)
        expected = adjust(image, 2 * math.pi * turn, scale, 1.0)
        np.testing.assert_allclose(result, expected, atol=1e-3)


def test_missing_addons_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(ImportError, match=r"npid_tf\[addons\].*--jitter=hsv"):
        build_augmentation("npid", jitter="yiq")
