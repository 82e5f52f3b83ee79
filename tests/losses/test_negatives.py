"""Which rows of the bank are drawn as negatives."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf import MemoryBank, PerSampleNegatives, SharedNegatives


def identity_bank(num_instances):
    """Row j is the j-th unit vector: similarities tell which rows were drawn."""
    bank = MemoryBank(num_instances, num_instances)
    bank.assign(np.eye(num_instances))
    return bank


def drawn_rows(negatives, indices, seed):
    """int [batch, num_negatives]: the rows that were drawn, and the mask."""
    num_instances = negatives.num_instances
    # The embedding (1, 2, ..., n) has similarity j + 1 with row j.
    embeddings = np.tile(np.arange(1.0, num_instances + 1), (len(indices), 1))
    similarities, mask = negatives.scores(
        tf.constant(embeddings, tf.float32),
        tf.constant(indices),
        identity_bank(num_instances),
        tf.constant(seed, tf.int64),
    )
    return np.rint(similarities).astype(int) - 1, mask.numpy()


def test_shared_negatives_are_one_draw_and_leave_out_each_own_row():
    indices = np.array([0, 3, 3, 5])
    rows, mask = drawn_rows(SharedNegatives(6, 5), indices, seed=[0, 1])
    assert (rows == rows[0]).all()
    # The draw has a row of the batch, and some row twice.
    assert set(rows[0]) & set(indices)
    assert len(set(rows[0])) < len(rows[0])
    np.testing.assert_array_equal(mask, rows != indices[:, None])


def test_shared_negatives_of_bfloat16_rows_are_those_of_float32_rounded():
    negatives, seed = SharedNegatives(50, 20), tf.constant([0, 1], tf.int64)
    embeddings = tf.random.stateless_normal([4, 6], [1, 2])
    scores, gradients = {}, {}
    for dtype in ("float32", "bfloat16"):
        bank = MemoryBank(50, 6, row_dtype=dtype)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            scores[dtype], _ = negatives.scores(embeddings, range(4), bank, seed)
        assert scores[dtype].dtype == tf.float32
        gradients[dtype] = tape.gradient(scores[dtype], embeddings)
    np.testing.assert_allclose(scores["float32"], scores["bfloat16"], atol=0.05)
    np.testing.assert_allclose(gradients["float32"], gradients["bfloat16"], atol=0.1)
    assert (scores["float32"] != scores["bfloat16"]).numpy().any()


def test_per_sample_negatives_differ_from_image_to_image():
    rows, mask = drawn_rows(PerSampleNegatives(50, 20), np.array([4, 4, 9]), [0, 1])
    assert mask.all()
    assert (rows[0] != rows[1]).any()
    assert (rows[1] != rows[2]).any()


@settings(max_examples=20, deadline=None)
@given(num_instances=st.integers(2, 12), seed=st.integers(0, 1000))
def test_per_sample_negatives_never_hold_the_own_row(num_instances, seed):
    negatives = PerSampleNegatives(num_instances, num_instances - 1)
    indices = np.arange(num_instances)
    rows, _ = drawn_rows(negatives, indices, [seed, seed])
    assert (rows != indices[:, None]).all()
    assert ((rows >= 0) & (rows < num_instances)).all()


@pytest.mark.parametrize("own_row", [0, 7, 19])
def test_per_sample_negatives_are_uniform_over_the_other_rows(own_row):
    negatives, indices = PerSampleNegatives(20, 19), np.full(400, own_row)
    rows, _ = drawn_rows(negatives, indices, [0, 5])
    counts = np.bincount(rows.ravel(), minlength=20)
    assert counts[own_row] == 0
    expected = rows.size / 19
    chi_square = ((np.delete(counts, own_row) - expected) ** 2 / expected).sum()
    assert chi_square < 45  # 18 degrees of freedom: p = .0004


def test_shared_negatives_are_uniform_over_all_rows():
    draws = [drawn_rows(SharedNegatives(20, 19), [0], [0, s])[0] for s in range(200)]
    counts = np.bincount(np.ravel(draws), minlength=20)
    expected = 200 * 19 / 20
    assert ((counts - expected) ** 2 / expected).sum() < 45


@pytest.mark.parametrize("make", [SharedNegatives, PerSampleNegatives])
def test_the_seed_decides_the_draw(make):
    negatives, indices = make(30, 10), np.array([1, 2])
    first, same, other = (
        drawn_rows(negatives, indices, seed)[0] for seed in ([0, 1], [0, 1], [0, 2])
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("make", [SharedNegatives, PerSampleNegatives])
def test_similarities_are_products_of_embeddings_and_rows(make):
    negatives, indices = make(30, 10), np.array([1, 2])
    rows, _ = drawn_rows(negatives, indices, [0, 1])
    bank = MemoryBank(30, 4)
    embeddings = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    similarities, _ = negatives.scores(embeddings, indices, bank, [0, 1])
    vectors = bank.numpy().astype(np.float64)
    expected = np.einsum("bkd,bd->bk", vectors[rows], embeddings)
    np.testing.assert_allclose(similarities, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [SharedNegatives, PerSampleNegatives])
@pytest.mark.parametrize("num_negatives", [0, 10, 5000])
def test_numbers_out_of_range_are_refused(make, num_negatives):
    message = (
        r"`num_negatives` must be in \[1, num_instances\). Received: "
        f"num_negatives={num_negatives}, num_instances=10."
    )
    with pytest.raises(ValueError, match=message):
        make(10, num_negatives)
