"""Which rows of the bank are drawn as negatives."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf import MemoryBank, PerSampleNegatives, SharedNegatives
from npid_tf.losses.one_pass import exponential
from tests.support.losses import assert_close, drawn_rows, toy_batch


def total_of_the_drawn(negatives, batch, seed):
    """sum_k exp(q.v_k) as the losses get it: own rows included, and their counts."""
    with tf.GradientTape() as tape:
        queries = tf.constant(batch.embeddings)
        tape.watch(queries)
        sum_over, own_counts = negatives.draw(
            queries, batch.indices, batch.bank, tf.constant(seed, tf.int64)
        )
        total = sum_over(exponential)
    return total.numpy(), tape.gradient(total, queries).numpy(), own_counts.numpy()


@pytest.mark.parametrize("make", [SharedNegatives, PerSampleNegatives])
def test_sums_are_over_the_drawn_rows(make):
    negatives, batch = make(12, 11), toy_batch()
    rows = drawn_rows(negatives, batch.indices, [0, 1])
    total, gradient, own_counts = total_of_the_drawn(negatives, batch, [0, 1])
    vectors = batch.vectors[rows]
    powers = np.exp(np.einsum("bkd,bd->bk", vectors, batch.embeddings))
    assert_close(total, powers.sum(axis=1))
    assert_close(gradient, np.einsum("bk,bkd->bd", powers, vectors))
    expected = (rows == batch.indices[:, None]).sum(axis=1)
    np.testing.assert_array_equal(own_counts, expected)
    # The shared draw has a row of the batch, and some row twice.
    assert expected.any() == (make is SharedNegatives)
    assert len(set(rows[0])) < len(rows[0])


@pytest.mark.parametrize("make", [SharedNegatives, PerSampleNegatives])
def test_sums_over_bfloat16_rows_are_those_of_float32_rounded(make):
    negatives, batch = make(50, 20), toy_batch(50)
    of_float32, gradient, _ = total_of_the_drawn(negatives, batch, [0, 1])
    batch.bank = MemoryBank(50, 5, initializer="normal", seed=1, row_dtype="bfloat16")
    of_bfloat16, rounded, _ = total_of_the_drawn(negatives, batch, [0, 1])
    np.testing.assert_allclose(of_float32, of_bfloat16, rtol=0.01)
    np.testing.assert_allclose(gradient, rounded, atol=0.01 * np.abs(gradient).max())
    assert (of_float32 != of_bfloat16).any()


def test_shared_negatives_count_an_image_that_is_in_the_batch_twice():
    negatives, batch = SharedNegatives(4, 3), toy_batch(4, batch_size=4)
    batch.indices = np.array([0, 3, 0, 1])
    numbers = negatives.numbers(tf.constant([0, 3], tf.int64)).numpy().tolist()
    _, _, own_counts = total_of_the_drawn(negatives, batch, [0, 3])
    assert own_counts.tolist() == [numbers.count(i) for i in (0, 3, 0, 1)]
    assert numbers.count(0) == 2


def test_per_sample_negatives_differ_from_image_to_image():
    rows = drawn_rows(PerSampleNegatives(50, 20), np.array([4, 4, 9]))
    assert (rows[0] != rows[1]).any()
    assert (rows[1] != rows[2]).any()


@settings(max_examples=20, deadline=None)
@given(num_instances=st.integers(2, 12), seed=st.integers(0, 1000))
def test_per_sample_negatives_never_hold_the_own_row(num_instances, seed):
    negatives = PerSampleNegatives(num_instances, num_instances - 1)
    indices = np.arange(num_instances)
    rows = negatives.numbers(tf.constant(indices), [seed, seed]).numpy()
    assert (rows != indices[:, None]).all()
    assert ((rows >= 0) & (rows < num_instances)).all()


@pytest.mark.parametrize("own_row", [0, 7, 19])
def test_per_sample_negatives_are_uniform_over_the_other_rows(own_row):
    rows = drawn_rows(PerSampleNegatives(20, 19), np.full(400, own_row), [0, 5])
    counts = np.bincount(rows.ravel(), minlength=20)
    assert counts[own_row] == 0
    expected = rows.size / 19
    chi_square = ((np.delete(counts, own_row) - expected) ** 2 / expected).sum()
    assert chi_square < 45  # 18 degrees of freedom: p = .0004


def test_shared_negatives_are_uniform_over_all_rows():
    draws = [drawn_rows(SharedNegatives(20, 19), [0], [0, s]) for s in range(200)]
    counts = np.bincount(np.ravel(draws), minlength=20)
    expected = 200 * 19 / 20
    assert ((counts - expected) ** 2 / expected).sum() < 45


@pytest.mark.parametrize("make", [SharedNegatives, PerSampleNegatives])
def test_the_seed_decides_the_draw(make):
    negatives, indices = make(30, 10), np.array([1, 2])
    first, same, other = (
        drawn_rows(negatives, indices, seed) for seed in ([0, 1], [0, 1], [0, 2])
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("make", [SharedNegatives, PerSampleNegatives])
@pytest.mark.parametrize("num_negatives", [0, 10, 5000])
def test_numbers_out_of_range_are_refused(make, num_negatives):
    message = (
        r"`num_negatives` must be in \[1, num_instances\). Received: "
        f"num_negatives={num_negatives}, num_instances=10."
    )
    with pytest.raises(ValueError, match=message):
        make(10, num_negatives)
