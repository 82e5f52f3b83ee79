"""Searches see one moment, as a sort of all items at that moment finds them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from npid_tf.search import builder, tuning
from npid_tf.search.changes import Delete, make_upsert
from npid_tf.search.live.contents import LiveContents
from npid_tf.search.live.segment import Segment
from tests.support.vectors import unit_rows


@pytest.fixture
def contents(make_index):
    """Of 30 items, "0" to "29", with labels."""
    return LiveContents(Segment(make_index(30, [f"class {n}" for n in range(30)])))


@pytest.fixture
def upsert():
    def apply(contents, ids, seed, labels=None):
        vectors = unit_rows(len(ids), seed=seed)
        contents.apply(make_upsert(ids, vectors, labels, 8))
        return vectors

    return apply


def assert_nearest(found, queries, vector_of, k):
    ids, similarities, _ = found
    names = list(vector_of)
    products = queries @ np.stack([vector_of[name] for name in names]).T
    order = np.argsort(-products, axis=1)[:, :k]
    assert ids == [[names[place] for place in line] for line in order]
    expected = np.take_along_axis(products, order, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-5)


def test_what_is_added_replaced_and_deleted_is_seen_at_once(contents, upsert):
    vector_of = dict(zip(map(str, range(30)), unit_rows(30), strict=True))
    queries = unit_rows(20, seed=9)
    names = ["new", "7", "newer"]
    vector_of.update(zip(names, upsert(contents, names, 1), strict=True))
    assert_nearest(contents.search(queries, 10), queries, vector_of, 10)
    vector_of.update(zip(names, upsert(contents, names, 2), strict=True))
    assert_nearest(contents.search(queries, 10), queries, vector_of, 10)
    contents.apply(Delete(["newer", "3", "4"]))
    for name in ("newer", "3", "4"):
        del vector_of[name]
    assert_nearest(contents.search(queries, 10), queries, vector_of, 10)
    assert_nearest(contents.search(queries, 99), queries, vector_of, 99)
    assert sorted(contents.ids()) == sorted(vector_of)
    assert len(contents) == len(vector_of) == 29
    stored = contents.embeddings(list(vector_of))
    np.testing.assert_allclose(stored, np.stack(list(vector_of.values())), atol=1e-6)


def test_labels_are_those_of_the_last_change(contents, upsert):
    upsert(contents, ["new", "7"], 1, ["cat", None])
    assert contents.labels(["new", "7", "8", "absent"]) == [
        "cat",
        None,
        "class 8",
        None,
    ]
    upsert(contents, ["new"], 2, ["dog"])
    contents.apply(Delete(["8"]))
    assert contents.labels(["new", "8"]) == ["dog", None]


def test_an_id_that_is_not_there_has_no_embedding(contents):
    contents.apply(Delete(["8"]))
    with pytest.raises(ValueError, match="No item has the id '8'"):
        contents.embeddings(["7", "8"])
    assert "8" not in contents and "7" in contents


def test_when_all_is_deleted_nothing_is_found_and_adding_goes_on(contents, upsert):
    contents.apply(Delete(contents.ids()))
    ids, similarities, exact = contents.search(unit_rows(2), 5)
    assert (ids, similarities.shape, exact) == ([[], []], (2, 0), True)
    vectors = upsert(contents, ["a", "b"], 1)
    ids, similarities, _ = contents.search(vectors, 5)
    assert [line[0] for line in ids] == ["a", "b"]
    assert similarities.shape == (2, 2)


def test_no_queries_have_no_answers(contents):
    ids, similarities, _ = contents.search(unit_rows(1)[:0], 5)
    assert (ids, similarities.shape) == ([], (0, 5))


def test_ids_that_come_twice_are_refused(make_index):
    segment = Segment(make_index(5))
    segment.ids[3] = "1"
    with pytest.raises(ValueError, match="index's 5 ids"):
        LiveContents(segment)


def test_where_scann_finds_too_few_the_search_is_exact(make_index, monkeypatch):
    pytest.importorskip("scann")
    monkeypatch.setattr(builder, "BRUTE_FORCE_UP_TO", 0)
    monkeypatch.setattr(builder, "TREE_ABOVE", 0)
    monkeypatch.setattr(tuning, "NUM_QUERIES", 50)
    contents = LiveContents(Segment(make_index(1000)))
    assert contents.segment.manifest["settings"]["kind"] == "tree"
    query = unit_rows(1)
    vector_of = dict(zip(map(str, range(1000)), unit_rows(1000), strict=True))
    assert contents.search(query, 3)[2] is False
    # All 400 nearest go, and with them whole leaves.
    for name in contents.search(query, 400)[0][0]:
        contents.apply(Delete([name]))
        del vector_of[name]
    found = contents.search(query, 3)
    assert_nearest(found, query, vector_of, 3)
    assert found[2] is True


def test_searches_beside_changes_see_each_change_whole(contents):
    """A pair of items is always replaced together: never one old, one new."""
    pairs = unit_rows(2, seed=5)
    contents.apply(make_upsert(["left", "right"], pairs, ["0", "0"], 8))
    turned = [pairs, pairs[::-1].copy()]
    stop = threading.Event()

    def search():
        while not stop.is_set():
            ids, _, _ = contents.search(pairs, 1)
            assert sorted(name for (name,) in ids) == ["left", "right"]

    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search) for _ in range(3)]
        for turn in range(400):
            change = make_upsert(["left", "right"], turned[turn % 2], None, 8)
            contents.apply(change)
        stop.set()
        for each in searches:
            each.result()  # Raises what was raised in its thread.
