"""A live index keeps what it acknowledged, whatever happens meanwhile."""

import errno
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from npid_tf.search.live import index as live_index
from npid_tf.search.live.index import LiveIndex
from tests.support.vectors import unit_rows


@pytest.fixture
def index(make_index):
    """A LiveIndex of "0" to "29", closed in the end."""
    opened = LiveIndex(make_index(30))
    yield opened
    opened.close()


def test_the_index_of_an_export_is_searched_as_it_is(index):
    ids, similarities, exact = index.search(unit_rows(30), 4)
    products = unit_rows(30) @ unit_rows(30).T
    order = np.argsort(-products, axis=1)[:, :4]
    assert ids == [[str(row) for row in line] for line in order]
    assert similarities.dtype == np.float32 and similarities.shape == (30, 4)
    assert exact is True
    assert index.encoder_hash == "the encoder's hash"
    assert index.dim == 8
    assert index.manifest["data"] == {"dataset": "digits"}


def test_stats_tell_how_it_searches(make_index, monkeypatch):
    pytest.importorskip("scann")
    index = LiveIndex(make_index(30))
    index.upsert(["3", "new"], unit_rows(2, seed=1))
    stats = index.stats()
    assert (stats["engine"], stats["why_exact"]) == ("scann", None)
    assert (stats["items"], stats["added_since"], stats["base_items_gone"]) == (
        31,
        2,
        1,
    )
    assert (stats["generation"], stats["log_changes"]) == (0, 1)
    assert (stats["compacting"], stats["compaction_error"]) == (False, None)
    index.compact()
    stats = index.stats()
    assert (stats["items"], stats["added_since"], stats["base_items_gone"]) == (
        31,
        0,
        0,
    )
    assert (stats["generation"], stats["log_changes"]) == (1, 0)
    assert stats["recall"]["k"] == 3 and stats["recall"]["value"] >= 0.9
    index.close()
    monkeypatch.setitem(sys.modules, "scann", None)
    index = LiveIndex(index._files.index_dir)
    assert index.stats()["engine"] == "exact"
    assert "pip install scann" in index.stats()["why_exact"]
    assert index.search(unit_rows(1), 1)[2] is True
    index.close()


def test_another_encoder_is_refused(index):
    index.check_encoder("the encoder's hash")
    with pytest.raises(ValueError, match=r"made by the encoder the encoder', not by o"):
        index.check_encoder("other")


@pytest.mark.parametrize("dim", [7, 9])
def test_another_dimension_is_refused(index, dim):
    vectors = np.eye(dim, dtype=np.float32)[:1]
    for call in (
        lambda: index.search(vectors, 1),
        lambda: index.upsert(["a"], vectors),
    ):
        with pytest.raises(ValueError, match=rf"of 8 dimensions.*\[1, {dim}\]"):
            call()


def test_a_k_below_one_is_refused(index):
    with pytest.raises(ValueError, match=r"`k` must be at least 1. Received: 0"):
        index.search(unit_rows(1), 0)


def test_a_closed_index_takes_no_changes(index):
    index.close()
    for change in (
        lambda: index.upsert(["a"], unit_rows(1)),
        lambda: index.delete(["0"]),
        index.compact,
    ):
        with pytest.raises(ValueError, match="was closed"):
            change()


def test_a_change_that_cannot_be_written_changes_nothing(index, monkeypatch):
    def fail(file, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(OSError, match="No space left"):
            index.upsert(["new"], unit_rows(1, seed=1))
        with pytest.raises(OSError, match="No space left"):
            index.delete(["3"])
    assert "new" not in index and "3" in index
    index.upsert(["newer"], unit_rows(1, seed=2))
    assert index.delete(["3"]) == 1


def test_changes_while_it_compacts_are_kept(index, monkeypatch):
    build_segment = live_index.build_segment
    vectors = unit_rows(5, seed=1)
    index.upsert(["a", "b"], vectors[:2])

    def change_meanwhile(*arguments):
        index.upsert(["b", "c"], vectors[2:4], ["x", "y"])
        index.delete(["a", "7"])
        build_segment(*arguments)
        index.upsert(["d"], vectors[4:])

    monkeypatch.setattr(live_index, "build_segment", change_meanwhile)
    index.compact()
    assert index.stats()["log_changes"] == 3
    directory = index._files.index_dir

    def check():
        assert len(index) == 30 - 1 + 3
        assert "a" not in index and "7" not in index
        np.testing.assert_array_equal(index.embeddings(["b", "c", "d"]), vectors[2:])
        assert index.labels(["b", "c", "d", "8"]) == ["x", "y", None, None]
        assert index.search(vectors[2:], 1)[0] == [["b"], ["c"], ["d"]]

    check()
    index.close()
    index = LiveIndex(directory)
    check()
    index.close()


def test_a_compaction_that_fails_leaves_the_index_as_it_was(index, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    index.upsert(["a"], unit_rows(1, seed=1))
    files = sorted(os.listdir(index._files.directory))
    for name in (
        "index.build_segment",
        "files.sync_tree",
        "files.os.replace",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"npid_tf.search.live.{name}", fail)
            with pytest.raises(OSError, match="No space left"):
                index.compact()
        index.upsert(["b"], unit_rows(1, seed=2))
        assert "a" in index and index.stats()["generation"] == 0
    index.compact()
    assert (len(index), index.stats()["generation"]) == (32, 1)
    assert len(os.listdir(index._files.directory)) == len(files) + 1


def test_many_changes_start_a_compaction_in_the_background(index, monkeypatch):
    monkeypatch.setattr(live_index, "COMPACT_AFTER", 40)
    vectors = unit_rows(120, seed=1)
    for n, vector in enumerate(vectors):
        index.upsert([f"new {n}"], vector[None])
    index.wait()
    stats = index.stats()
    assert stats["generation"] >= 1 and stats["compaction_error"] is None
    assert stats["added_since"] < 120
    assert len(index) == 150
    found, _, _ = index.search(vectors, 1)
    assert found == [[f"new {n}"] for n in range(120)]


def test_a_compaction_that_fails_in_the_background_is_told_of_and_not_repeated(
    index, monkeypatch
):
    calls = []

    def fail(*arguments):
        calls.append(arguments)
        raise ValueError("The index misses --recall=0.9")

    monkeypatch.setattr(live_index, "COMPACT_AFTER", 2)
    with monkeypatch.context() as patch:
        patch.setattr(live_index, "build_segment", fail)
        for n, vector in enumerate(unit_rows(10, seed=1)):
            index.upsert([f"new {n}"], vector[None])
            index.wait()
    assert len(calls) == 1
    assert index.stats()["compaction_error"] == (
        "ValueError: The index misses --recall=0.9"
    )
    index.compact()
    assert index.stats()["compaction_error"] is None


def test_a_compaction_comes_to_nothing_when_the_index_is_closed(index, monkeypatch):
    build_segment, built = live_index.build_segment, []
    entered, closed = threading.Event(), threading.Event()

    def wait(*arguments):
        entered.set()
        assert closed.wait(60)
        built.append(build_segment(*arguments))

    monkeypatch.setattr(live_index, "build_segment", wait)
    monkeypatch.setattr(live_index, "COMPACT_AFTER", 0)
    index.upsert(["a", "b"], unit_rows(2, seed=1))
    assert entered.wait(60)
    index.close()
    closed.set()
    index.wait()
    assert built and "was closed" in index.stats()["compaction_error"]
    monkeypatch.undo()
    again = LiveIndex(index._files.index_dir)
    assert "a" in again and again.stats()["generation"] == 0
    again.close()


def test_threads_search_while_others_change_and_it_compacts(index):
    """Items that nobody touches are found all the time."""
    queries = unit_rows(10)
    expected = [[str(row)] for row in range(10)]
    stop = threading.Event()

    def search():
        while not stop.is_set():
            found, _, _ = index.search(queries, 1)
            assert found == expected

    def change(name):
        for seed in range(30):
            index.upsert([name, f"{name} {seed}"], unit_rows(2, seed=100 + seed))
            index.delete([f"{name} {seed}"])

    with ThreadPoolExecutor(5) as pool:
        searches = [pool.submit(search) for _ in range(3)]
        changing = [pool.submit(change, name) for name in ("a", "b")]
        try:
            for _ in range(3):
                index.compact()
            for each in changing:
                each.result()
        finally:
            stop.set()
        for each in searches:
            each.result()  # Raises what was raised in its thread.
    assert len(index) == 32
