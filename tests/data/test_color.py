"""Colour changes agree with slow per-image references."""

import colorsys
import math
import sys

import numpy as np
import pytest

from npid_tf.data import color
from npid_tf.data.augment import build_augmentation

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((6, 5, 4, 3), np.float32)
DRAWS = RANDOM.random((6, 5), np.float32)


def reference_jitter(image, draws, strengths, probability):
    """torchvision's adjust_brightness, _contrast, _saturation and _hue, in float64."""
    if draws[4] >= probability:
        return image
    changes = (2 * draws[:4].astype(np.float64) - 1) * strengths
    image = image.astype(np.float64) * (1 + changes[0])
    mean = (image @ color.LUMA).mean()
    image = (1 + changes[1]) * image + (1 - (1 + changes[1])) * mean
    luma = (image @ color.LUMA)[..., None]
    image = (1 + changes[2]) * image + (1 - (1 + changes[2])) * luma

    def turn(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*np.clip(pixel, 0, 1))
        return colorsys.hsv_to_rgb((hue + changes[3]) % 1, saturation, value)

    return np.apply_along_axis(turn, -1, image)


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
def test_jitter_is_torchvisions_in_a_fixed_order(strengths, probability):
    strengths = tuple(map(float, strengths))
    jittered = color.random_jitter(IMAGES, DRAWS, strengths, probability, color.hsv)
    expected = [
        reference_jitter(image, draws, strengths, probability)
        for image, draws in zip(IMAGES, DRAWS, strict=True)
    ]
    np.testing.assert_allclose(jittered, expected, atol=2e-6)


def test_zero_strengths_leave_images_alone():
    jittered = color.random_jitter(IMAGES, DRAWS, (0.0,) * 4, 1.0, color.hsv)
    np.testing.assert_allclose(jittered, IMAGES, atol=1e-6)


def test_probability_zero_leaves_images_alone():
    jittered = color.random_jitter(IMAGES, DRAWS, (0.4,) * 4, 0.0, color.hsv)
    np.testing.assert_array_equal(jittered, IMAGES)


def test_jittered_values_stay_in_range():
    jittered = color.random_jitter(IMAGES, DRAWS, (0.9,) * 4, 1.0, color.hsv).numpy()
    assert jittered.min() >= 0 and jittered.max() <= 1


@pytest.mark.parametrize("turn", [1.0, -1.0, 2.0])
def test_a_full_turn_of_hue_changes_nothing(turn):
    turned = color.hsv(IMAGES, np.full(6, turn, np.float32), np.ones(6, np.float32))
    np.testing.assert_allclose(turned, IMAGES, atol=1e-5)


def test_a_third_of_a_turn_makes_red_green():
    red = np.array([1, 0, 0], np.float32).reshape(1, 1, 1, 3)
    turned = color.hsv(red, np.float32([1 / 3]), np.float32([1]))
    np.testing.assert_allclose(turned, [[[[0, 1, 0]]]], atol=1e-6)


def test_gray_weighs_the_channels_and_takes_its_share():
    draws = np.float32([[0.0], [0.19], [0.2], [0.5], [0.99], [0.1]])
    grayed = color.random_gray(IMAGES, draws, 0.2).numpy()
    luma = 0.299 * IMAGES[..., 0] + 0.587 * IMAGES[..., 1] + 0.114 * IMAGES[..., 2]
    for number, is_gray in enumerate([True, True, False, False, False, True]):
        expected = np.stack([luma[number]] * 3, -1) if is_gray else IMAGES[number]
        np.testing.assert_allclose(grayed[number], expected, atol=1e-6)


def test_yiq_is_that_of_addons_image_by_image():
    pytest.importorskip("tensorflow_addons", exc_type=ImportError)
    tfa = color.addons()
    hue = RANDOM.uniform(-0.4, 0.4, 6).astype(np.float32)
    saturation = RANDOM.uniform(0.6, 1.4, 6).astype(np.float32)
    expected = [
        tfa.image.adjust_hsv_in_yiq(image, 2 * math.pi * turn, scale, 1.0)
        for image, turn, scale in zip(IMAGES, hue, saturation, strict=True)
    ]
    np.testing.assert_allclose(color.yiq(IMAGES, hue, saturation), expected, atol=1e-5)


def test_missing_addons_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(ImportError, match=r"npid_tf\[addons\].*--jitter=hsv"):
        build_augmentation("npid", jitter="yiq")
