"""The ScaNN index against exact search, and through its files."""

import sys

import numpy as np
import pytest

from npid_tf.search.builder import build_scann_index
from npid_tf.search.nearest import nearest
from npid_tf.search.scann_index import load_index
from tests.support.vectors import unit_rows


@pytest.fixture
def scann():
    return pytest.importorskip("scann")


def small_index(n=30, k=3):
    return build_scann_index(unit_rows(n, 8), list(range(n)), None, k, 0.95)


def test_brute_force_equals_exact_search(scann):
    vectors, queries = unit_rows(300, 8), unit_rows(20, 8, seed=1)
    index = build_scann_index(vectors, list(range(300)), None, 7, 1.0)
    rows, similarities = index.search(queries, 7)
    expected_similarities, expected = nearest(queries, vectors, 7)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(similarities, expected_similarities, atol=1e-6)


PATHS = [f"images/{row}.png" for row in range(300)]


@pytest.mark.parametrize("ids", [PATHS, list(range(300))], ids=["paths", "numbers"])
@pytest.mark.parametrize("labels", [None, [str(row % 3) for row in range(300)]])
def test_a_saved_index_gives_the_same_neighbors(scann, tmp_path, ids, labels):
    vectors, queries = unit_rows(300, 8), unit_rows(20, 8, seed=1)
    index = build_scann_index(vectors, ids, labels, 7, 0.95, encoder_hash="abc")
    index.save(str(tmp_path))
    loaded = load_index(str(tmp_path))
    for before, after in zip(
        index.search(queries, 9), loaded.search(queries, 9), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    assert (loaded.ids, loaded.labels) == (ids, labels)
    assert loaded.manifest == index.manifest
    assert loaded.manifest["encoder_hash"] == "abc"


def test_the_manifest_tells_the_bytes_of_the_other_files(scann, tmp_path):
    index = small_index()
    index.save(str(tmp_path))
    others = [file for file in tmp_path.iterdir() if file.name != "manifest.json"]
    assert index.manifest["bytes"] == sum(file.stat().st_size for file in others)


def test_what_a_search_does_not_find_is_marked(scann, monkeypatch):
    monkeypatch.setattr("npid_tf.search.builder.BRUTE_FORCE_UP_TO", 0)
    monkeypatch.setattr("npid_tf.search.builder.TREE_ABOVE", 0)
    vectors = unit_rows(2000, 8)
    index = build_scann_index(vectors, list(range(2000)), None, 5, 0.5)
    index.manifest["settings"]["leaves_to_search"] = 1  # Of 45.
    rows, similarities = index.search(vectors[:20], 1000)
    assert rows.shape == similarities.shape == (20, 1000)
    np.testing.assert_array_equal(rows == -1, np.isnan(similarities))
    np.testing.assert_array_equal(rows[:, -1], -1)
    for query, found in enumerate(rows):
        found = found[found >= 0]
        assert 0 < len(set(found)) == len(found)
        expected = vectors[found] @ vectors[query]
        found_similarities = similarities[query, : len(found)]
        np.testing.assert_allclose(found_similarities, expected, rtol=1e-4, atol=1e-6)


def test_queries_of_another_dimension_are_refused(scann):
    index = small_index()
    with pytest.raises(ValueError, match=r"vectors of 8 dimensions. Received: 9"):
        index.search(unit_rows(1, 9), 3)


@pytest.mark.parametrize("k", [0, 31])
def test_k_beyond_the_images_is_refused(scann, k):
    index = small_index()
    with pytest.raises(ValueError, match=rf"\[1, 30\].*Received: {k}"):
        index.search(unit_rows(1, 8), k)


def test_a_folder_without_an_index_is_refused(scann, tmp_path):
    with pytest.raises(ValueError, match=r"No index in .*npid_tf.export"):
        load_index(str(tmp_path))


def test_without_scann_the_error_names_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "scann", None)
    with pytest.raises(ImportError, match="pip install scann"):
        small_index()
    with pytest.raises(ImportError, match="pip install scann"):
        load_index(str(tmp_path))
