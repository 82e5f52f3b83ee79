"""Recipes are determined by their draws, and draws by (seed, epoch, index)."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.augmentation.augment import build_augmentation, random_flip
from npid_tf.data.augmentation.crop import NUM_DRAWS as CROP_DRAWS
from npid_tf.data.augmentation.draws import uniform_draws

NAMES = [
    "npid",
    "npid_cifar",
    "moco_v2",
    "moco_v2_cifar",
    "affine",
    "none",
    "crop_flip_color",
]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (64, 6, 6, 3), dtype=np.uint8)
# Brighter from column to column, in every channel.
RAMP = np.tile((40 + 25 * np.arange(6, dtype=np.uint8))[:, None], (64, 6, 1, 3))


def planes_of(images):
    return np.moveaxis(images, 3, 1).astype(np.float32)


def draws_of(augmentation):
    return augmentation.draws(0, 0, tf.range(64, dtype=tf.int64))


def test_draws_are_as_many_as_the_steps_take():
    augmentation = build_augmentation("moco_v2")  # colours: 6 draws, blur: 2, flip: 1.
    expected = uniform_draws(7, 8, tf.range(64, dtype=tf.int64), CROP_DRAWS + 9)
    draws = augmentation.draws(7, 8, tf.range(64, dtype=tf.int64))
    np.testing.assert_array_equal(draws, expected)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_gives_uint8_of_the_same_shape(name):
    augmentation = build_augmentation(name)
    draws = draws_of(augmentation)
    assert draws.shape == (64, augmentation.num_draws)
    augmented = augmentation(planes_of(IMAGES), draws)
    assert (augmented.dtype, augmented.shape) == (tf.uint8, IMAGES.shape)
    changed = np.any(augmented != IMAGES, axis=(1, 2, 3)).mean()
    assert changed == 0 if name == "none" else changed > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_the_others_in_its_batch(name):
    augmentation = build_augmentation(name)
    draws = draws_of(augmentation)
    together = augmentation(planes_of(IMAGES), draws).numpy().astype(int)
    for i in range(0, 64, 16):
        alone = augmentation(planes_of(IMAGES[i : i + 1]), draws[i : i + 1])
        # A product of another shape may round the last bit otherwise.
        np.testing.assert_allclose(together[i], alone[0], atol=1)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
@pytest.mark.parametrize("name", NAMES)
def test_flat_images_do_not_wrap_around(name, value):
    """A value that rounds below 0 or above 255 would come out on the other side."""
    augmentation = build_augmentation(name)
    planes = np.full((64, 3, 6, 6), value, np.float32)
    augmented = augmentation(planes, draws_of(augmentation)).numpy().astype(int)
    lighting = 30 if name == "crop_flip_color" else 0
    assert np.abs(augmented - value).max() <= 0.4 * value + 1 + lighting


def mirrored(name):
    augmentation = build_augmentation(name)
    augmented = augmentation(planes_of(RAMP), draws_of(augmentation)).numpy()
    return augmented[..., 0, :].mean((1, 2)) > augmented[..., -1, :].mean((1, 2))


def test_npid_cifar_never_flips():
    steps = build_augmentation("npid_cifar").steps
    assert random_flip not in [step.function for step in steps]
    assert not mirrored("npid_cifar").any()


@pytest.mark.parametrize("name", ["npid", "moco_v2", "crop_flip"])
def test_the_others_flip_about_half(name):
    assert 20 <= mirrored(name).sum() <= 44


def test_flips_mirror_columns_where_the_draw_is_low():
    draws = np.float32([[0.1], [0.5], [0.499], [0.9]])
    planes = planes_of(IMAGES[:4])
    flipped = random_flip(planes, draws)
    for i, is_flipped in enumerate([True, False, True, False]):
        expected = planes[i][:, :, ::-1] if is_flipped else planes[i]
        np.testing.assert_array_equal(flipped[i], expected)


def test_each_step_has_draws_of_its_own():
    """Changing one step's draws changes what that step does, and no other's."""
    augmentation = build_augmentation("npid")  # jitter: 5 draws, grey: 1, flip: 1.
    draws = np.full((1, augmentation.num_draws), 0.5, np.float32)
    image = IMAGES[:1].astype(int)

    def augmented(draws):
        return augmentation(planes_of(image), draws).numpy().astype(int)

    np.testing.assert_allclose(augmented(draws), image, atol=1)
    flipped = draws.copy()
    flipped[:, -1] = 0.1
    np.testing.assert_allclose(augmented(flipped), image[:, :, ::-1], atol=1)
    gray = draws.copy()
    gray[:, -2] = 0.1
    grayed = augmented(gray)
    assert np.ptp(grayed, axis=3).max() <= 1 < np.ptp(image, axis=3).max()
    cropped = draws.copy()
    cropped[:, :CROP_DRAWS] = 0.9
    np.testing.assert_array_equal(augmented(cropped), augmented(draws))


def test_unknown_names_list_the_known_ones():
    with pytest.raises(
        ValueError, match=r"'npdi'.*npid, npid_cifar, moco_v2, moco_v2_cifar, affine"
    ):
        build_augmentation("npdi")
    with pytest.raises(ValueError, match=r"'yuv'.*hsv, yiq"):
        build_augmentation("npid", jitter="yuv")
