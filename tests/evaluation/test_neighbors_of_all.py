"""The nearest of all rows are those of a full sort, and by ScaNN nearly all of them."""

import numpy as np
import pytest

from npid_tf.errors import MissingPackageError
from npid_tf.evaluation import neighbors_of_all
from npid_tf.evaluation.neighbors_of_all import NeighborSearch
from tests.support.vectors import clusters, unit_rows


def brute_force(queries, rows, k, own=False):
    scores = queries @ rows.T
    if own:
        np.fill_diagonal(scores, -np.inf)
    found = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, found, axis=1), found


def test_up_to_some_number_of_rows_they_are_a_full_sort_s():
    rows, queries = unit_rows(30, 4), unit_rows(7, 4, seed=1)
    search = NeighborSearch(rows, 5)
    for found, expected in (
        (search.of_all(), brute_force(rows, rows, 5, own=True)),
        (search.of(queries), brute_force(queries, rows, 5)),
    ):
        np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
        np.testing.assert_array_equal(found[1], expected[1])
    assert (search.recall, search.how) == (1.0, "all pairs compared")


def test_of_many_equal_rows_none_is_its_own_neighbor():
    _, neighbors = NeighborSearch(np.tile(unit_rows(1, 4), (6, 1)), 2).of_all()
    assert neighbors.shape == (6, 2)
    assert not (neighbors == np.arange(6)[:, None]).any()


def test_more_others_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"in \[1, 3\), the rows. Received: 3"):
        NeighborSearch(unit_rows(3, 2), 3)


@pytest.fixture
def few_are_many(monkeypatch):
    """From 500 rows on ScaNN searches, in a tree."""
    pytest.importorskip("scann")
    monkeypatch.setattr(neighbors_of_all, "EXACT_UP_TO", 500)
    monkeypatch.setattr(neighbors_of_all, "QUERIES_AT_ONCE", 300)
    monkeypatch.setattr("npid_tf.search.builder.BRUTE_FORCE_UP_TO", 500)
    monkeypatch.setattr("npid_tf.search.builder.TREE_ABOVE", 500)


def test_of_many_rows_scann_finds_the_part_it_says(few_are_many):
    rows, queries = clusters(2000, 100, 16)
    search = NeighborSearch(rows, 5)
    assert search.how == f"ScaNN, recall@5 {search.recall:.3f}"
    for found, expected in (
        (search.of_all(), brute_force(rows, rows, 5, own=True)),
        (search.of(queries), brute_force(queries, rows, 5)),
    ):
        lines = zip(found[1], expected[1], strict=True)
        recall = np.mean([len(set(a) & set(b)) / 5 for a, b in lines])
        assert recall > 0.95 and search.recall > 0.98
    products = np.einsum("qd,qkd->qk", queries, rows[found[1]])
    np.testing.assert_allclose(found[0], products, atol=1e-5)
    some = np.array([3, 1999])
    expected = brute_force(rows, rows, 5, own=True)[1][some]
    np.testing.assert_array_equal(search.exactly(some)[1], expected)
    assert not (search.of_all()[1] == np.arange(2000)[:, None]).any()


def test_rows_that_scann_finds_too_few_for_are_searched_exactly(few_are_many):
    rows, queries = clusters(2000, 10, 16)
    search = NeighborSearch(rows, 5)

    class Poor:
        def search(self, queries, k):
            found = np.full([len(queries), k], -1)
            return found, np.full([len(queries), k], np.nan, np.float32)

    search._index = Poor()
    np.testing.assert_array_equal(
        search.of(queries)[1], brute_force(queries, rows, 5)[1]
    )


def test_without_scann_all_pairs_are_compared_and_it_says_so(monkeypatch):
    def missing():
        raise MissingPackageError("pip install scann")

    monkeypatch.setattr(neighbors_of_all, "EXACT_UP_TO", 20)
    monkeypatch.setattr(neighbors_of_all, "import_scann", missing)
    rows = unit_rows(30, 4)
    with pytest.warns(UserWarning, match="All pairs are compared.*pip install scann"):
        search = NeighborSearch(rows, 5)
    expected = brute_force(rows, rows, 5, own=True)
    np.testing.assert_array_equal(search.of_all()[1], expected[1])
