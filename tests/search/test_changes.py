"""What changes are refused, and that the log gives them back as they were."""

import numpy as np
import pytest

from npid_tf.search.changes import (
    Delete,
    change_ids,
    check_embeddings,
    check_ids,
    decode,
    make_upsert,
)
from tests.support.vectors import unit_rows

NAMES = ["a", "line\nbreak", "snow \u2603", "byte \udcff", "../x"]


def test_an_upsert_is_read_as_it_was_written():
    change = make_upsert(NAMES, unit_rows(5), ["x", None, "", "\n", "y"], 8)
    copy = decode(change.encode(), 8)
    assert (copy.ids, copy.labels) == (NAMES, ["x", None, "", "\n", "y"])
    np.testing.assert_array_equal(copy.vectors, unit_rows(5))


def test_a_delete_is_read_as_it_was_written():
    assert decode(Delete(NAMES).encode(), 8) == Delete(NAMES)


def test_without_labels_there_are_none():
    assert make_upsert(["a", "b"], unit_rows(2), None, 8).labels == [None, None]


def test_the_vectors_are_a_copy():
    vectors = unit_rows(1)
    change = make_upsert(["a"], vectors, None, 8)
    vectors[:] = 0
    assert change.vectors.any()


@pytest.mark.parametrize(
    ("ids", "count", "labels", "message"),
    [
        (["a", "b", "a"], 3, None, "`ids`.*1 .*of 3"),
        (["a"], 2, None, "1 ids, 2 embeddings, 1 labels"),
        (["a", "b"], 2, ["x"], "2 ids, 2 embeddings, 1 labels"),
        (["a"], 1, [3], "label must be None or a str.*Received: 3"),
        (["a"], 1, ["a\ud800"], r"label must be Unicode text.*Received: 'a.ud800'"),
        (["a"], 1, ["a" * 4097], "label must be .* at most 4096 characters"),
        ([3], 1, None, "id must be a str.*Received: 3"),
        ([""], 1, None, "id must be a str of 1 to 4096 char"),
        (["a" * 4097], 1, None, "id must be a str of 1 to 4096 char"),
    ],
)
def test_what_does_not_fit_is_refused(ids, count, labels, message):
    with pytest.raises(ValueError, match=f"(?i){message}"):
        make_upsert(ids, unit_rows(count), labels, 8)


def test_one_name_is_not_taken_for_its_letters():
    with pytest.raises(ValueError, match=r"list of ids. Received one str: 'abc'"):
        check_ids("abc")


def test_embeddings_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match=r"of 9 dimensions.*Received: \[2, 8\]"):
        check_embeddings(unit_rows(2), 9)
    with pytest.raises(ValueError, match=r"Received: \[8\]"):
        check_embeddings(unit_rows(1)[0], 8)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(value):
    vectors = unit_rows(2)
    vectors[1, 3] = value
    with pytest.raises(ValueError, match="must be finite"):
        check_embeddings(vectors, 8)


@pytest.mark.parametrize("length", [0, 0.9, 1.1])
def test_embeddings_that_are_not_of_unit_length_are_refused(length):
    vectors = unit_rows(2)
    vectors[1] *= length
    with pytest.raises(
        ValueError, match=f"unit length. Received one of length {length}"
    ):
        check_embeddings(vectors, 8)


def test_rounding_to_bfloat16_is_no_reason_to_refuse():
    bits = unit_rows(500).view(np.uint32) + np.uint32(0x8000)
    check_embeddings((bits & np.uint32(0xFFFF0000)).view(np.float32), 8)


def test_the_ids_after_changes_are_told_without_their_vectors():
    ids = {"a", "old"}
    change_ids(ids, make_upsert(["a", "b"], unit_rows(2), None, 8).encode())
    change_ids(ids, Delete(["old", "b"]).encode())
    assert ids == {"a"}
