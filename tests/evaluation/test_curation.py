"""Groups, outliers and diverse subsets are those of a plain loop."""

import numpy as np
import pytest

from npid_tf.evaluation import curation
from tests.support.vectors import clusters, unit_rows


def test_pairs_connect_rows_also_through_others():
    first, second = np.array([7, 2, 4, 9]), np.array([2, 5, 1, 8])
    found = curation.groups(first, second, 11)
    assert [rows.tolist() for rows in found] == [[2, 5, 7], [1, 4], [8, 9]]
    assert curation.groups(first[:0], second[:0], 5) == []


def test_outliers_are_the_least_similar_to_their_nearest_first():
    similarities = np.array([[0.9, 0.5], [0.2, 0.1], [0.8, 0.7], [0.4, 0.2]])
    rows, means = curation.outliers(similarities, 3)
    assert rows.tolist() == [1, 3, 0]
    np.testing.assert_allclose(means, [0.15, 0.3, 0.7])


def farthest_first(rows, size):
    chosen = [int((rows @ rows.mean(axis=0)).argmax())]
    values = [np.nan]
    while len(chosen) < size:
        closest = (rows @ rows[chosen].T).max(axis=1)
        closest[chosen] = np.inf
        values.append(closest.min())
        chosen.append(int(closest.argmin()))
    return chosen, values, (rows @ rows[chosen].T).max(axis=1).min()


@pytest.mark.parametrize("ahead", [1, 7, 64, 1000])
def test_a_diverse_subset_is_farthest_first_s(monkeypatch, ahead):
    monkeypatch.setattr(curation, "AHEAD", ahead)
    monkeypatch.setattr(curation, "ROWS_AT_ONCE", 70)
    rows, _ = clusters(300, 1)
    chosen, values, covered = farthest_first(rows, 40)
    found = curation.diverse_subset(rows, 40)
    assert found[0].tolist() == chosen
    np.testing.assert_allclose(found[1], values, atol=1e-6)
    assert found[2] == pytest.approx(covered, abs=1e-6)


def test_one_of_each_cluster_comes_before_a_second_of_any():
    centers = np.eye(10, dtype=np.float32)
    rows = np.repeat(centers, 20, axis=0) + 0.01 * unit_rows(200, 10)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    chosen, _, covered = curation.diverse_subset(rows, 10)
    assert sorted(chosen // 20) == list(range(10)) and covered > 0.99


def test_copies_come_last_and_of_few_rows_all_are_chosen():
    rows = unit_rows(6, 4)
    rows[4] = rows[1]
    chosen, values, covered = curation.diverse_subset(rows, 99)
    assert sorted(chosen) == list(range(6)) and chosen[-1] in (1, 4)
    assert values[-1] == pytest.approx(1) and covered == 1
