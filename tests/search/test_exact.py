"""Exact search with rows left out, against a full sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.search import exact as exact_search
from npid_tf.search.exact import best_of, most_similar


@given(
    num_queries=st.integers(0, 9),
    num_vectors=st.integers(1, 60),
    k=st.integers(1, 60),
    rows_at_once=st.sampled_from([1, 7, 100]),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_it_equals_a_full_sort_of_those_that_are_there(
    num_queries, num_vectors, k, rows_at_once, seed
):
    random = np.random.default_rng(seed)
    queries = random.normal(size=[num_queries, 5]).astype(np.float32)
    vectors = random.normal(size=[num_vectors, 5]).astype(np.float32)
    is_there = random.random(num_vectors) < 0.7
    is_there[random.integers(num_vectors)] = True
    k = min(k, is_there.sum())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_search, "QUERIES_AT_ONCE", 4)
        patch.setattr(exact_search, "ROWS_AT_ONCE", rows_at_once)
        similarities, rows = most_similar(queries, vectors, is_there, k)
    there = np.flatnonzero(is_there)
    products = queries @ vectors[there].T
    order = np.argsort(-products, axis=1)[:, :k]
    np.testing.assert_array_equal(rows, there[order])
    expected = np.take_along_axis(products, order, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)


def test_the_best_of_fewer_than_k_are_all_of_them():
    similarities, rows = best_of(np.float32([[1, 3, 2]]), np.array([[7, 8, 9]]), 5)
    np.testing.assert_array_equal(similarities, [[3, 2, 1]])
    np.testing.assert_array_equal(rows, [[8, 9, 7]])
