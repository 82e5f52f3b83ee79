"""Hubs, near duplicates and votes, where the answer is plain or a loop gives it."""

import numpy as np
import pytest

from npid_tf.evaluation.knn import knn_accuracy
from npid_tf.evaluation.neighborhood import (
    hubness,
    k_occurrences,
    similar_pairs,
    vote,
    without_mirrored,
)
from npid_tf.evaluation.neighbors_of_all import NeighborSearch
from npid_tf.search.nearest import nearest
from tests.support.vectors import unit_rows


def test_occurrences_count_the_lists_a_row_is_in():
    neighbors = np.array([[1, 2], [2, 0], [1, 0], [2, 1]])
    np.testing.assert_array_equal(k_occurrences(neighbors, 5), [2, 3, 3, 0, 0])


def test_hubness_is_the_third_moment_and_0_where_all_occur_alike():
    occurrences = np.array([1, 3, 4, 0])
    deviation = occurrences - occurrences.mean()
    skewness = (deviation**3).mean() / (deviation**2).mean() ** 1.5
    assert hubness(occurrences) == pytest.approx(skewness)
    assert hubness(np.array([2, 2, 2])) == 0


def test_a_row_that_is_near_to_all_is_a_hub():
    # On a cone around the first axis: its middle is nearer to all than they are.
    rows = np.concatenate([np.ones([200, 1]), unit_rows(200, 50)], axis=1)
    rows = (rows / np.sqrt(2)).astype(np.float32)
    _, without = NeighborSearch(rows, 5).of_all()
    rows[0] = np.eye(51)[0]
    _, neighbors = NeighborSearch(rows, 5).of_all()
    occurrences = k_occurrences(neighbors, 200)
    assert occurrences[0] == 199
    assert hubness(occurrences) > 5 > hubness(k_occurrences(without, 200))


def test_pairs_come_once_the_most_similar_first():
    rows = unit_rows(40, 30)
    rows[[3, 11, 20]] = rows[[30, 12, 30]]
    rows[11] += 0.01
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = similar_pairs(*NeighborSearch(rows, 4).of_all())
    assert len(found[0]) == 40 * 4
    first, second, similarities = without_mirrored(*found)
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    assert set(pairs[:3]) == {(3, 20), (3, 30), (20, 30)}
    assert pairs[3] == (11, 12)
    assert len(set(pairs)) == len(pairs)
    assert all(low < high for low, high in pairs)
    assert (np.diff(similarities) <= 0).all()
    expected = (rows[first] * rows[second]).sum(axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)


def test_pairs_of_queries_and_rows_keep_which_is_which():
    similarities = np.array([[0.9, 0.2], [0.95, 0.3]])
    queries, rows, values = similar_pairs(similarities, np.array([[4, 0], [0, 1]]))
    assert queries.tolist() == [1, 0, 1, 0]
    assert rows.tolist() == [0, 4, 1, 0]
    assert values.tolist() == [0.95, 0.9, 0.3, 0.2]


def test_votes_are_those_of_the_knn_accuracy():
    rows, queries = unit_rows(60, 3), unit_rows(300, 3, seed=1)
    labels, query_labels = np.arange(60) % 4, np.arange(300) % 4
    similarities, neighbors = nearest(queries, rows, 7)
    voted = vote(similarities, neighbors, labels, temperature=0.1)
    expected = knn_accuracy(queries, query_labels, rows, labels, (7,), temperature=0.1)
    assert np.mean(voted == query_labels) == pytest.approx(expected[7]["top1"])
