"""Alignment and uniformity against loops, and where their values are known."""

import math

import numpy as np
import pytest

from npid_tf.evaluation.alignment import alignment, uniformity
from tests.support.vectors import unit_rows


def test_alignment_is_the_mean_squared_distance_of_the_pairs():
    first, second = unit_rows(7, 3), unit_rows(7, 3, seed=1)
    distances = [
        sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        for x, y in zip(first.tolist(), second.tolist(), strict=True)
    ]
    assert alignment(first, second) == pytest.approx(sum(distances) / 7, abs=1e-6)


def test_equal_views_align_at_0_and_opposite_ones_at_4():
    rows = unit_rows(5, 4)
    assert alignment(rows, rows) == 0
    assert alignment(rows, -rows) == pytest.approx(4, abs=1e-5)


def test_uniformity_is_the_paper_s_mean_over_all_pairs():
    rows = unit_rows(6, 3)
    exact = [
        math.exp(-2 * float(np.sum((rows[i] - rows[j]) ** 2)))
        for i in range(6)
        for j in range(i)
    ]
    sampled = uniformity(rows, num_pairs=200_000)
    assert sampled == pytest.approx(math.log(np.mean(exact)), abs=0.02)


def test_two_rows_are_one_pair_and_never_a_row_with_itself():
    rows = np.array([[1, 0], [-1, 0]], np.float32)
    assert uniformity(rows, num_pairs=100) == pytest.approx(-8)


def test_equal_rows_are_least_uniform_and_the_whole_sphere_is_near_its_value():
    assert uniformity(np.tile(unit_rows(1, 128), (50, 1))) == 0
    # E exp(4 <a, b>) = 1 + 8 / dim + ..., of which the logarithm less 4.
    spread = uniformity(unit_rows(2000, 128))
    assert spread == pytest.approx(-4 + 8 / 128, abs=0.01)


def test_the_seed_determines_the_sample():
    rows = unit_rows(50, 3)
    assert uniformity(rows, 40, seed=1) == uniformity(rows, 40, seed=1)
    assert uniformity(rows, 40, seed=1) != uniformity(rows, 40, seed=2)


def test_pairs_of_different_shape_and_single_rows_are_refused():
    with pytest.raises(ValueError, match=r"Received: \[2, 3\] and \[1, 3\]"):
        alignment(np.zeros([2, 3]), np.zeros([1, 3]))
    with pytest.raises(ValueError, match="one pair or more"):
        alignment(np.zeros([0, 3]), np.zeros([0, 3]))
    with pytest.raises(ValueError, match="Received: 1"):
        uniformity(np.ones([1, 3]))
