"""The ScaNN index against exact search, and through its files."""

import sys

import numpy as np
import pytest

from npid_tf.evaluation.knn import nearest
from npid_tf.serving.index import build_index, choose_settings, load_index


@pytest.fixture
def scann():
    return pytest.importorskip("scann")


def unit_vectors(n, dim, seed=0):
    vectors = np.random.default_rng(seed).normal(size=[n, dim]).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_brute_force_equals_exact_search(scann):
    vectors, queries = unit_vectors(300, 8), unit_vectors(20, 8, seed=1)
    index = build_index(vectors, list(range(300)), None, 7)
    rows, similarities = index.search(queries, 7)
    expected_similarities, expected = nearest(queries, vectors, 7)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(similarities, expected_similarities, atol=1e-6)
    assert index.manifest["recall"] == {"k": 7, "value": 1.0}


def test_a_saved_index_gives_the_same_neighbors(scann, tmp_path):
    vectors, queries = unit_vectors(300, 8), unit_vectors(20, 8, seed=1)
    ids = [f"images/{row}.png" for row in range(300)]
    labels = [str(row % 3) for row in range(300)]
    index = build_index(vectors, ids, labels, 7, encoder_hash="abc")
    index.save(str(tmp_path))
    loaded = load_index(str(tmp_path))
    for before, after in zip(
        index.search(queries, 9), loaded.search(queries, 9), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    assert (loaded.ids, loaded.labels) == (ids, labels)
    assert loaded.manifest == {
        "encoder_hash": "abc",
        "n": 300,
        "dim": 8,
        "settings": {"kind": "brute force"},
        "recall": {"k": 7, "value": 1.0},
    }


def test_a_quantized_index_finds_nearly_all_neighbors(scann):
    random = np.random.default_rng(0)
    centers = random.normal(size=[700, 32])
    vectors = np.repeat(centers, 30, axis=0) + 0.1 * random.normal(size=[21_000, 32])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f")
    index = build_index(vectors, list(range(21_000)), None, 20)
    assert index.manifest["settings"]["kind"] == "quantized"
    assert index.manifest["recall"]["value"] >= 0.99
    _, expected = nearest(vectors[7:10_000:50], vectors, 20)
    rows, _ = index.search(vectors[7:10_000:50], 20)
    hits = [len(set(a) & set(b)) for a, b in zip(rows, expected, strict=True)]
    assert np.mean(hits) / 20 >= 0.99


@pytest.mark.parametrize(
    ("n", "kind", "leaves"),
    [
        (20_000, "brute force", None),
        (20_001, "quantized", None),
        (100_000, "quantized", None),
        (1_000_000, "tree", 1000),
    ],
)
def test_settings_follow_the_number_of_vectors(n, kind, leaves):
    settings = choose_settings(n, k=10)
    assert (settings["kind"], settings.get("leaves")) == (kind, leaves)


def test_queries_of_another_dimension_are_refused(scann):
    index = build_index(unit_vectors(30, 8), list(range(30)), None, 3)
    with pytest.raises(ValueError, match=r"vectors of 8 dimensions. Received: 9"):
        index.search(unit_vectors(1, 9), 3)


@pytest.mark.parametrize("k", [0, 31])
def test_k_beyond_the_images_is_refused(scann, k):
    index = build_index(unit_vectors(30, 8), list(range(30)), None, 3)
    with pytest.raises(ValueError, match=rf"\[1, 30\].*Received: {k}"):
        index.search(unit_vectors(1, 8), k)


def test_a_folder_without_an_index_is_refused(scann, tmp_path):
    with pytest.raises(ValueError, match=r"No index in .*npid_tf.export"):
        load_index(str(tmp_path))


def test_without_scann_the_error_names_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "scann", None)
    with pytest.raises(ImportError, match="pip install scann"):
        build_index(unit_vectors(30, 8), list(range(30)), None, 3)
    with pytest.raises(ImportError, match="pip install scann"):
        load_index(str(tmp_path))
