"""What is measured of an index, and which setting is chosen."""

import time

import numpy as np
import pytest

from npid_tf.search.tuning import NUM_QUERIES, Trials, candidates, choose


class Answers:
    """An index that answers with `rows`, one of them a query."""

    def __init__(self, rows):
        self.rows = iter(rows)
        self.num_asked = 0

    def search(self, queries, k):
        assert len(queries) == 1
        self.num_asked += 1
        rows = np.asarray(next(self.rows))[None, :k]
        return rows, np.zeros(rows.shape, np.float32)


def on_a_circle(degrees):
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


CIRCLE = on_a_circle([0, 1, 3, 10, 20, 40])


def measured(rows, k, queries=None, vectors=CIRCLE):
    return Trials(vectors, k, queries).measure(Answers(rows))["recall"]


def test_recall_is_the_part_of_the_true_neighbors_found():
    queries = on_a_circle([0.1, 39])
    assert measured([[0, 1, 2], [5, 4, 3]], 3, queries) == 1
    assert measured([[2, 1, 0], [5, 4, 3]], 3, queries) == 1
    assert measured([[0, 1, 3], [5, 2, 1]], 3, queries) == pytest.approx(3 / 6)


def test_a_row_that_finds_itself_has_found_nothing():
    assert measured([[row, -1, -1] for row in range(6)], 2) == 0
    # The two others nearest to 0, 1, 3, 10, 20 and 40 degrees, beside the row itself.
    exact = [[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 2, 1], [4, 3, 2], [5, 4, 3]]
    assert measured(exact, 2) == 1
    # Without the row itself, a third neighbor of which makes up for nothing.
    assert measured([[1, 2, 3], *exact[1:]], 2) == 1
    assert measured([[0, 1, 3], *exact[1:]], 2) == pytest.approx(11 / 12)


def test_what_was_not_found_is_a_miss():
    # Row -1 would be the last one's, which is among the nearest here.
    assert measured([[5, -1]], 2, on_a_circle([39])) == 0.5


def test_equal_vectors_may_come_in_any_order():
    vectors = on_a_circle([0, 0, 0, 90])
    for found in ([0, 1], [2, 0], [1, 2]):
        assert measured([found], 2, on_a_circle([0]), vectors) == 1
    assert measured([[0, 3]], 2, on_a_circle([0]), vectors) == 0.5


def test_queries_are_few_and_from_everywhere():
    vectors = np.eye(4, dtype=np.float32)[np.arange(10 * NUM_QUERIES) % 4]
    for queries in (vectors, None):
        trials = Trials(vectors, 1, queries)
        assert len(trials.queries) == NUM_QUERIES
        assert trials.description.startswith(f"{NUM_QUERIES} ")
    np.testing.assert_allclose(np.diff(trials.own_rows), 10, atol=1)
    assert trials.own_rows[-1] == len(vectors) - 1


def test_the_time_is_that_of_a_query_searched_alone():
    class Slow(Answers):
        def search(self, queries, k):
            time.sleep(0.02)
            return super().search(queries, k)

    index = Slow([[0], [1]] * 3)
    measures = Trials(CIRCLE, 1, on_a_circle(range(6))).measure(index)
    assert index.num_asked == 6
    assert 20 <= measures["ms_per_query"] < 1000


def entry(recall, ms, standard_error=0.0, **settings):
    return {
        "settings": settings,
        "recall": recall,
        "standard_error": standard_error,
        "ms_per_query": ms,
    }


def test_the_fastest_that_reaches_the_target_is_chosen():
    curve = [entry(0.9, 1), entry(0.96, 3), entry(0.95, 2), entry(1.0, 9)]
    assert choose(curve, 0.95, 10) is curve[2]
    assert choose(curve, 0.99, 10) is curve[3]


def test_two_standard_errors_are_kept_to_the_target():
    curve = [entry(0.96, 1, standard_error=0.006), entry(0.97, 2, standard_error=0.006)]
    assert choose(curve, 0.95, 10) is curve[1]


def test_a_missed_target_names_the_best_setting_and_what_to_do():
    curve = [entry(0.9, 1), entry(0.94, 3, standard_error=0.01, leaves_to_search=7)]
    with pytest.raises(
        ValueError,
        match=r"--recall=0.95.*'leaves_to_search': 7.* recall@10 of 0.9400.* 0.9200. "
        r"Lower --recall.*--index_dtype=float32",
    ):
        choose(curve, 0.95, 10)


def test_candidates_go_from_little_effort_to_all_leaves():
    settings = {"kind": "tree", "dtype": "int8", "leaves": 1000}
    tried = candidates(settings, 10)
    assert all(candidate.items() >= settings.items() for candidate in tried)
    searched = sorted({candidate["leaves_to_search"] for candidate in tried})
    assert searched[0] <= 5
    assert searched[-1] == 1000
    assert min(candidate["reordered"] for candidate in tried) >= 10
    assert candidates({"kind": "brute force"}, 10) == [{"kind": "brute force"}]
