"""The index in a Milvus Lite: the same answers as exact search, and changes at once."""

import numpy as np
import pytest

from npid_tf.search.milvus.collection import write_collection
from npid_tf.search.milvus.index import MilvusIndex
from tests.support.vectors import unit_rows

NAMES = [f"photos/{row}.jpg" for row in range(300)]
# Nothing a caller writes into an id may end up in an expression.
ODD = ["it's", 'say "x"', "a\\b", "snow \u2603", "line\nbreak", "' or key != '", "{x}"]


@pytest.fixture
def index(milvus_lite, tmp_path):
    """300 items and their labels, in a file of their own."""
    uri = str(tmp_path / "items.db")
    labels = [str(row % 3) for row in range(300)]
    vectors = unit_rows(300)
    write_collection(
        uri, vectors, NAMES, labels, 10, 0.9, encoder_hash="abc" * 20, data={"a": 1}
    )
    opened = MilvusIndex(uri, "abc" * 20)
    yield opened
    opened.close()


def assert_nearest(index, vector_of, queries, k):
    ids, similarities, exact = index.search(queries, k)
    names = list(vector_of)
    products = queries @ np.stack(list(vector_of.values())).T
    order = np.argsort(-products, axis=1)[:, :k]
    assert exact
    assert ids == [[names[place] for place in line] for line in order]
    expected = np.take_along_axis(products, order, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-5)
    assert similarities.dtype == np.float32


def test_changes_are_found_at_once_as_a_dict_would(index):
    vector_of = dict(zip(NAMES, unit_rows(300), strict=True))
    queries = unit_rows(5, seed=1)
    assert_nearest(index, vector_of, queries, 10)

    names = [*ODD, NAMES[7]]
    index.upsert(names, unit_rows(8, seed=2), [*ODD, None])
    vector_of.update(zip(names, unit_rows(8, seed=2), strict=True))
    assert index.labels([*names, NAMES[8], "none"]) == [*ODD, None, "2", None]
    np.testing.assert_allclose(index.embeddings(ODD), unit_rows(8, seed=2)[:7])
    assert all(name in index for name in ODD) and "none" not in index
    assert len(index) == 307
    assert_nearest(index, vector_of, unit_rows(8, seed=2), 10)

    assert index.delete([*ODD[1:], ODD[1], NAMES[8], "none"]) == 7
    for name in (*ODD[1:], NAMES[8]):
        del vector_of[name]
    assert len(index) == index.stats()["items"] == 300
    assert_nearest(index, vector_of, unit_rows(8, seed=2), 400)
    with pytest.raises(ValueError, match="No item has the id 'it was'"):
        index.embeddings(["it's", "it was"])


def test_it_tells_what_it_is(index):
    stats = index.stats()
    assert (stats["engine"], stats["exact"], stats["dim"]) == ("milvus", True, 8)
    assert index.manifest["data"] == {"a": 1}


def test_what_it_cannot_hold_is_refused(index):
    with pytest.raises(ValueError, match="unit length"):
        index.upsert(["a"], 2 * unit_rows(1))
    with pytest.raises(ValueError, match="of 8 dimensions"):
        index.search(np.eye(9, dtype=np.float32), 3)
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        index.search(unit_rows(1), 0)


def test_another_encoder_has_no_collection(index):
    with pytest.raises(ValueError, match=r"no collection of the encoder other.*export"):
        MilvusIndex(index.uri, "other")
