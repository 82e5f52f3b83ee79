"""Recipes are determined by their draws, and draws by (seed, epoch, index)."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.augment import build_augmentation, random_flip
from npid_tf.data.crop import NUM_DRAWS as CROP_DRAWS

NAMES = ["npid", "npid_cifar", "moco_v2", "affine", "none"]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (64, 6, 6, 3), dtype=np.uint8)
# Brighter from column to column, in every channel.
RAMP = np.tile((40 + 25 * np.arange(6, dtype=np.uint8))[:, None], (64, 6, 1, 3))


def draws_of(augmentation, seed=0, epoch=0, count=64):
    return tf.stack(
        [
            augmentation.draws(seed, epoch, tf.constant(i, tf.int64))
            for i in range(count)
        ]
    )


def test_draws_repeat_and_differ_by_seed_epoch_and_index():
    augmentation = build_augmentation("npid")
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (2**40, 0, 0)]

    def all_draws():
        return [
            tuple(augmentation.draws(seed, epoch, tf.constant(index, tf.int64)).numpy())
            for seed, epoch, index in keys
        ]

    first = all_draws()
    tf.random.set_seed(99)  # What else a program draws must not matter.
    assert all_draws() == first
    assert len(set(first)) == len(keys)


def test_draws_are_uniform():
    draws = draws_of(build_augmentation("moco_v2")).numpy()
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.02 and abs(draws.var() - 1 / 12) < 0.005


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_gives_uint8_of_the_same_shape(name):
    augmentation = build_augmentation(name)
    draws = draws_of(augmentation)
    assert draws.shape == (64, augmentation.num_draws)
    augmented = augmentation(tf.constant(IMAGES), draws)
    assert (augmented.dtype, augmented.shape) == (tf.uint8, IMAGES.shape)
    changed = np.any(augmented != IMAGES, axis=(1, 2, 3)).mean()
    assert changed == 0 if name == "none" else changed > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_the_others_in_its_batch(name):
    augmentation = build_augmentation(name)
    draws = draws_of(augmentation)
    together = augmentation(tf.constant(IMAGES), draws).numpy().astype(int)
    for i in range(0, 64, 16):
        alone = augmentation(tf.constant(IMAGES[i : i + 1]), draws[i : i + 1])
        # A product of another shape may round the last bit otherwise.
        np.testing.assert_allclose(together[i], alone[0], atol=1)


def mirrored(name):
    augmentation = build_augmentation(name)
    augmented = augmentation(tf.constant(RAMP), draws_of(augmentation)).numpy()
    return augmented[..., 0, :].mean((1, 2)) > augmented[..., -1, :].mean((1, 2))


def test_npid_cifar_never_flips():
    steps = build_augmentation("npid_cifar").steps
    assert random_flip not in [step.function for step in steps]
    assert not mirrored("npid_cifar").any()


@pytest.mark.parametrize("name", ["npid", "moco_v2"])
def test_the_others_flip_about_half(name):
    assert 20 <= mirrored(name).sum() <= 44


def test_flips_mirror_columns_where_the_draw_is_low():
    draws = np.float32([[0.1], [0.5], [0.499], [0.9]])
    flipped = random_flip(IMAGES[:4], draws)
    for i, is_flipped in enumerate([True, False, True, False]):
        expected = IMAGES[i][:, ::-1] if is_flipped else IMAGES[i]
        np.testing.assert_array_equal(flipped[i], expected)


def test_each_step_has_draws_of_its_own():
    """Changing one step's draws changes what that step does, and no other's."""
    augmentation = build_augmentation("npid")  # grey: 1 draw, jitter: 5, flip: 1.
    draws = np.full((1, augmentation.num_draws), 0.5, np.float32)
    image = IMAGES[:1]
    np.testing.assert_allclose(
        augmentation(image, draws).numpy().astype(int), image, atol=1
    )
    flipped = draws.copy()
    flipped[:, -1] = 0.1
    np.testing.assert_allclose(
        augmentation(image, flipped).numpy().astype(int), image[:, :, ::-1], atol=1
    )
    gray = draws.copy()
    gray[:, CROP_DRAWS] = 0.1
    grayed = augmentation(image, gray).numpy()
    assert (grayed == grayed[..., :1]).all()
    cropped = draws.copy()
    cropped[:, :CROP_DRAWS] = 0.9
    np.testing.assert_array_equal(
        augmentation(image, cropped), augmentation(image, draws)
    )


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"'npdi'.*npid, npid_cifar, moco_v2, affine"):
        build_augmentation("npdi")
    with pytest.raises(ValueError, match=r"'yuv'.*hsv, yiq"):
        build_augmentation("npid", jitter="yuv")
