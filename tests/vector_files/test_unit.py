"""Vectors of others are normalized; what has no direction is refused by its row."""

import numpy as np
import pytest

from npid_tf.errors import UserError
from npid_tf.vector_files import Vectors
from npid_tf.vector_files.unit import is_unit, to_unit_length
from tests.support.vectors import unit_rows


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch):
    monkeypatch.setattr("npid_tf.vector_files.format.ROWS_AT_ONCE", 2)


def vectors_of(rows):
    return Vectors(rows, list("abcde"))


def test_vectors_keep_their_direction_and_lengths_are_told():
    lengths = np.float32([[2], [0.5], [1], [7], [3]])
    unit, found = to_unit_length(vectors_of(unit_rows(5, 3) * lengths))
    np.testing.assert_allclose(unit, unit_rows(5, 3), atol=1e-6)
    assert found == pytest.approx((0.5, 7))
    assert not is_unit(*found) and not is_unit(0.9, 1) and not is_unit(1, 1.1)
    assert is_unit(0.998, 1.002)


@pytest.mark.parametrize(
    ("row", "value", "message"),
    [
        (3, np.nan, r"must be finite. Received: row 3, 'd'\."),
        (4, np.inf, r"must be finite. Received: row 4, 'e'\."),
        (2, 0, r"must not be all zeros. Received: row 2, 'c'\."),
    ],
)
def test_what_has_no_direction_is_refused_by_its_row(row, value, message):
    rows = unit_rows(5, 3)
    rows[row] = value
    with pytest.raises(UserError, match=message):
        to_unit_length(vectors_of(rows))


def test_an_id_that_is_there_twice_is_refused():
    with pytest.raises(
        UserError, match=r"2 that are there more than once \('a'; 'b'\)"
    ):
        to_unit_length(Vectors(unit_rows(5, 3), list("abcab")))
