"""The neighbors that smoothed labels are shared with."""

import numpy as np
import pytest

from npid_tf import LearnedRows
from npid_tf.banks.refresh_neighbors import refresh_neighbors
from npid_tf.distribution.strategies import build_strategy


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_equal_numpys_nearest_other_rows(strategy):
    with build_strategy(strategy).scope():
        rows = LearnedRows(40, 6, num_neighbors=5)
    refresh_neighbors(rows)
    units = rows.numpy().astype(np.float64)
    similarities = units @ units.T
    np.fill_diagonal(similarities, -np.inf)
    expected = np.argsort(-similarities, axis=1)[:, :5]
    np.testing.assert_array_equal(rows.neighbors.numpy(), expected)


def test_equal_rows_are_neighbors_and_none_is_its_own():
    rows = LearnedRows(20, 6, num_neighbors=3)
    rows.assign(np.ones([20, 6]))
    refresh_neighbors(rows)
    found = rows.neighbors.numpy()
    assert (found != np.arange(20)[:, None]).all()
    assert all(len(set(row)) == 3 for row in found)
