"""Rotations, shifts and zooms go the right way and around the centre."""

import numpy as np
import pytest

from npid_tf.data.augmentation.affine import random_affine

IMAGE = np.random.default_rng(0).random((1, 10, 10, 3), np.float32)
WIDE = np.random.default_rng(1).random((1, 6, 10, 3), np.float32)
STILL = [0.5, 0.5, 0.5, 0.5]  # Draws in the middle of their ranges.


def affine(images, draws, **ranges):
    """Of [1, height, width, 3], as is easier to read here."""
    moved = random_affine(np.moveaxis(images, 3, 1), np.float32([draws]), **ranges)
    return np.moveaxis(moved.numpy(), 1, 3)


@pytest.mark.parametrize("image", [IMAGE, WIDE])
def test_middle_draws_leave_images_alone(image):
    np.testing.assert_allclose(affine(image, STILL), image, atol=1e-6)


@pytest.mark.parametrize(("draw", "move"), [(1.0, 2), (0.0, -2)])
def test_a_shift_across_moves_whole_columns(draw, move):
    shifted = affine(WIDE, [0.5, 0.5, draw, 0.5], shift=0.2)
    columns = np.clip(np.arange(10) + move, 0, 9)  # The border repeats.
    np.testing.assert_allclose(shifted, WIDE[:, :, columns], atol=1e-5)


@pytest.mark.parametrize(("draw", "move"), [(1.0, 3), (0.0, -3)])
def test_a_shift_down_moves_whole_rows(draw, move):
    shifted = affine(WIDE, [0.5, 0.5, 0.5, draw], shift=0.5)
    rows = np.clip(np.arange(6) + move, 0, 5)
    np.testing.assert_allclose(shifted, WIDE[:, rows], atol=1e-5)


@pytest.mark.parametrize(("draw", "quarters"), [(1.0, 1), (0.0, -1)])
def test_quarter_turns_are_those_of_numpy(draw, quarters):
    turned = affine(IMAGE, [draw, 0.5, 0.5, 0.5], degrees=90.0)
    np.testing.assert_allclose(
        turned, np.rot90(IMAGE, quarters, axes=(1, 2)), atol=1e-5
    )


def test_a_half_turn_keeps_the_size_of_a_wide_image():
    turned = affine(WIDE, [1.0, 0.5, 0.5, 0.5], degrees=180.0)
    np.testing.assert_allclose(turned, WIDE[:, ::-1, ::-1], atol=1e-5)


def test_zooming_in_shows_the_middle_larger():
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32), (1, 9, 9))[..., None]
    zoomed = affine(np.repeat(ramp, 3, axis=3), [0.5, 1.0, 0.5, 0.5], zoom=1.0)
    expected = 4 + (np.arange(9) - 4) / 2
    np.testing.assert_allclose(zoomed[0, 3, :, 0], expected, atol=1e-5)


def test_images_of_a_batch_have_their_own_draws():
    planes = np.moveaxis(np.concatenate([IMAGE, IMAGE]), 3, 1)
    draws = np.float32([STILL, [0.9, 0.2, 0.7, 0.4]])
    np.testing.assert_allclose(
        np.moveaxis(random_affine(planes, draws).numpy(), 1, 3),
        np.concatenate([affine(IMAGE, one) for one in draws]),
        atol=1e-5,
    )
