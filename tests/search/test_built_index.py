"""`npid_tf.build_index`: ids in, ids out."""

import numpy as np
import pytest

from npid_tf import load_index
from npid_tf.errors import UserError
from npid_tf.search import build_index, builder
from tests.support.vectors import unit_rows

pytest.importorskip("scann")
IDS = [f"image {row}.jpg" for row in range(300)]


@pytest.fixture
def small_quantized(monkeypatch):
    monkeypatch.setattr(builder, "BRUTE_FORCE_UP_TO", 0)


def nearest_ids(queries, vectors, k):
    order = np.argsort(-queries @ vectors.T, axis=1)[:, :k]
    return [[IDS[row] for row in line] for line in order]


def test_finds_the_ids_of_the_most_similar():
    vectors, queries = unit_rows(300), unit_rows(5, seed=1)
    index = build_index(vectors, IDS, k=4)
    ids, similarities, exact = index.search(queries, 4)
    assert ids == nearest_ids(queries, vectors, 4)
    expected = -np.sort(-queries @ vectors.T, axis=1)[:, :4]
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    assert exact is True and len(index) == 300


def test_has_the_recall_that_was_asked_for(small_quantized):
    index = build_index(unit_rows(300), IDS, k=4, recall=0.9)
    assert index.manifest["settings"]["kind"] == "quantized"
    assert index.manifest["recall"]["value"] >= 0.9
    found = index.search(unit_rows(5, seed=1), 4)
    assert np.shape(found.ids) == (5, 4)
    assert found.exact is False


def test_gives_all_items_where_there_are_fewer_than_k():
    index = build_index(unit_rows(3), IDS[:3], k=2)
    assert sorted(index.search(unit_rows(1), 10).ids[0]) == IDS[:3]
    assert index.search(np.empty([0, 8]), 2).similarities.shape == (0, 2)


def test_queries_with_too_few_candidates_are_searched_exactly():
    vectors = unit_rows(300)
    index = build_index(vectors, IDS, k=4)
    search = index._index.search

    def with_gaps(queries, k):
        rows, similarities = search(queries, k)
        rows[1, 2:], similarities[1, 2:] = -1, np.nan
        return rows, similarities

    index._index.search = with_gaps
    assert index.search(vectors[:3], 4).ids == nearest_ids(vectors[:3], vectors, 4)


def test_what_is_saved_is_loaded_by_load_index(tmp_path):
    labels = ["cat", None, *["dog"] * 298]
    index = build_index(unit_rows(300), IDS, labels=labels)
    assert index.labels([IDS[0], IDS[1], "none"]) == ["cat", None, None]
    index.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index")
    queries = unit_rows(5, seed=1)
    assert loaded.search(queries, 4).ids == index.search(queries, 4).ids
    assert loaded.labels(IDS[:3]) == ["cat", None, "dog"]


def test_a_folder_that_holds_files_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError, match="must be new or empty"):
        build_index(unit_rows(3), IDS[:3], k=2).save(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"embeddings": "text"}, r"must be numbers \[num_items, dim\]"),
        ({"embeddings": [[1.0], [1.0, 0.0]]}, r"must be numbers \[num_items, dim\]"),
        ({"embeddings": np.zeros(3)}, r"the shape \[3\]"),
        ({"embeddings": np.ones([3, 2])}, "unit length"),
        ({"ids": "abc"}, "list of ids"),
        ({"ids": [1, 2, 3]}, "An id must be a str"),
        ({"ids": ["a", "a", "b"]}, "duplicates"),
        ({"ids": ["a", "b"]}, "2 ids, 3 embeddings"),
        ({"labels": [1, 2, 3]}, "label must be None or a str"),
        ({"k": 0}, "`k` must be at least 1"),
        ({"k": 2.0}, "`k` must be an integer"),
        ({"recall": "high"}, r"`recall` must be in \(0, 1\]"),
        ({"recall": 0}, r"`recall` must be in \(0, 1\]"),
        ({"dtype": "float64"}, "Unknown dtype 'float64'. Known: float32"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changed, message):
    arguments = {"embeddings": np.eye(3), "ids": ["a", "b", "c"], **changed}
    with pytest.raises(UserError, match=message):
        build_index(**arguments)


def test_queries_that_do_not_fit_are_refused_in_words():
    index = build_index(np.eye(3), ["a", "b", "c"], k=2)
    with pytest.raises(UserError, match="of 3 dimensions"):
        index.search(np.eye(4), 1)
    with pytest.raises(UserError, match="`k` must be an integer"):
        index.search(np.eye(3), "1")
