"""Exact search against full sorts and float64."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.search import nearest as search
from npid_tf.search.nearest import nearest
from tests.support.vectors import clusters, in_blocks


@given(
    num_queries=st.integers(1, 12),
    num_vectors=st.integers(1, 300),
    k=st.integers(1, 300),
    block=st.sampled_from([1, 4, 50, None]),
    rows_at_once=st.sampled_from([7, 64, 1000]),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_nearest_equals_a_full_sort(
    num_queries, num_vectors, k, block, rows_at_once, seed
):
    k = min(k, num_vectors)
    random = np.random.default_rng(seed)
    # Small whole numbers: products are exact and many tie, the lower row is first.
    queries = random.integers(-3, 4, [num_queries, 3]).astype(np.float32)
    vectors = random.integers(-3, 4, [num_vectors, 3]).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "QUERIES_AT_ONCE", 5)
        patch.setattr(search, "ROWS_AT_ONCE", rows_at_once)
        similarities, indices = nearest(queries, in_blocks(vectors, block), k)
    products = queries @ vectors.T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(
        similarities, np.take_along_axis(products, expected, axis=1)
    )


@pytest.mark.parametrize("k", [1, 20, 3000])
def test_nearest_equals_float64_where_later_rows_are_nearer_than_all_before(k):
    vectors, queries = clusters(3000, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "ROWS_AT_ONCE", 500)
        similarities, indices = nearest(queries, vectors, k)
    products = np.float64(queries) @ np.float64(vectors).T
    expected = -np.sort(-products, axis=1)[:, :k]
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    # The rows are those: each once, and as similar as said.
    found = np.take_along_axis(products, indices, axis=1)
    np.testing.assert_allclose(similarities, found, atol=1e-6)
    assert all(len(np.unique(row)) == k for row in indices)


def test_equal_rows_come_in_their_order():
    _, indices = nearest(np.ones([3, 4]), np.ones([5000, 4]), 7)
    np.testing.assert_array_equal(indices, [range(7)] * 3)


@pytest.mark.parametrize("order", ["by chance", "all equal", "ever nearer"])
def test_few_products_are_in_memory_at_once(order):
    vectors, queries = clusters(40_000, 4096)
    if order == "all equal":
        vectors = np.ones_like(vectors)
    elif order == "ever nearer":
        vectors[:, 0] = np.linspace(-9, 9, len(vectors))
        queries[:, 0] = 9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "ROWS_AT_ONCE", 1000)
        patch.setattr(search.os, "cpu_count", lambda: 2)
        tracemalloc.start()
        nearest(queries, vectors, 5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < queries.shape[0] * vectors.shape[0] * 4 / 40


def test_no_queries_have_no_neighbors():
    similarities, indices = nearest(np.ones([0, 4]), np.ones([5, 4]), 3)
    assert similarities.shape == indices.shape == (0, 3)


@pytest.mark.parametrize("bad", ["queries", "vectors"])
def test_numbers_that_are_not_finite_are_refused(bad):
    arrays = {"queries": np.eye(4), "vectors": np.eye(4)}
    arrays[bad][2, 1] = np.nan
    with pytest.raises(ValueError, match=f"`{bad}` must be finite"):
        nearest(**arrays, k=2)


@pytest.mark.parametrize("k", [0, 4])
@pytest.mark.parametrize("block", [None, 2])
def test_k_beyond_the_rows_is_refused(k, block):
    queries, vectors = np.eye(2, 4, dtype=np.float32), np.eye(3, 4, dtype=np.float32)
    with pytest.raises(ValueError, match=r"`k` must be at .*Received: "):
        nearest(queries, in_blocks(vectors, block), k)
