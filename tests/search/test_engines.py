"""An index is used in the same way, whichever engine holds it."""

import numpy as np
import pytest

from npid_tf.search.live.index import LiveIndex
from npid_tf.search.milvus.collection import write_collection
from npid_tf.search.milvus.index import MilvusIndex
from tests.support.vectors import unit_rows

NAMES = [str(row) for row in range(30)]


@pytest.fixture(params=["in a folder", "in Milvus"])
def index(request, make_index, tmp_path):
    """30 items, labelled, whose vectors are `unit_rows(30)`."""
    if request.param == "in a folder":
        opened = LiveIndex(make_index(30))
    else:
        request.getfixturevalue("milvus_lite")
        uri = str(tmp_path / "items.db")
        description = {"encoder_hash": "abc" * 20, "data": {}}
        write_collection(uri, unit_rows(30), NAMES, NAMES, 3, 0.9, **description)
        opened = MilvusIndex(uri, "abc" * 20)
    yield opened
    opened.close()


def test_each_has_what_searches_and_serves_it(index):
    for name in [
        "close",
        "delete",
        "dim",
        "embeddings",
        "encoder_hash",
        "engine",
        "has_order",
        "ids",
        "known_labels",
        "labels",
        "manifest",
        "read_only",
        "search",
        "stats",
        "upsert",
        "why_down",
    ]:
        assert hasattr(index, name), name


def test_it_tells_its_engine_and_that_it_is_here(index):
    assert index.engine == index.stats()["engine"] in ("scann", "exact", "milvus")
    assert index.why_down is None
    assert index.read_only is False


def test_ids_are_those_of_all_items_changes_included(index):
    assert sorted(index.ids()) == sorted(NAMES)
    index.upsert(["new"], unit_rows(1, seed=1), ["label"])
    index.delete(["7"])
    assert sorted(index.ids()) == sorted({*NAMES, "new"} - {"7"})
    assert len(index.ids()) == len(index) == 30
    if index.has_order:
        assert index.ids()[-1] == "new"
    known = index.known_labels(["7", "new", "never"])
    assert known == {"new": "label"}
    assert index.labels(["7", "new"]) == [None, "label"]


def test_fewer_items_than_k_are_all_returned(index):
    queries = unit_rows(4, seed=2)
    ids, similarities, exact = index.search(queries, 50)
    assert exact
    assert [sorted(line) for line in ids] == [sorted(NAMES)] * 4
    assert similarities.shape == (4, 30) and similarities.dtype == np.float32
    products = queries @ unit_rows(30).T
    np.testing.assert_allclose(similarities, -np.sort(-products, axis=1), atol=1e-5)


def test_an_empty_index_finds_nothing(index):
    index.delete(NAMES)
    ids, similarities, _ = index.search(unit_rows(2), 3)
    assert ids == [[], []]
    assert similarities.shape == (2, 0)
    assert index.ids() == []
