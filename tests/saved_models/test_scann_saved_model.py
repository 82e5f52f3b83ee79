"""ScaNN in the graph: the neighbors of exact search, and no padding taken for one."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.saved_models.saved_model import save_model
from npid_tf.saved_models.scann_saved_model import (
    NAMESPACE,
    ScannNeighborFinder,
    check_dtype_of_ops,
)
from npid_tf.search import builder, tuning
from npid_tf.search.builder import build_scann_index
from tests.support.vectors import unit_rows


@pytest.fixture(autouse=True)
def scann(monkeypatch):
    monkeypatch.setattr(tuning, "NUM_QUERIES", 50)
    return pytest.importorskip("scann")


class Vectors(tf.Module):
    """An embedder of files that hold the bytes of their embeddings."""

    def _embed_files(self, image_bytes):
        return tf.reshape(tf.io.decode_raw(image_bytes, tf.float32), [-1, 8])


def files(vectors):
    return tf.constant([vector.tobytes() for vector in vectors])


@pytest.mark.parametrize("kind", ["brute force", "quantized", "tree"])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("int8", 0.03)])
def test_saved_and_loaded_it_finds_what_exact_search_finds(
    tmp_path, monkeypatch, kind, dtype, error
):
    monkeypatch.setattr(builder, "BRUTE_FORCE_UP_TO", 1000 * (kind == "brute force"))
    monkeypatch.setattr(builder, "TREE_ABOVE", 1000 * (kind != "tree"))
    vectors, queries = unit_rows(400), unit_rows(30, seed=1)
    labels = np.arange(400) % 3
    index = build_scann_index(vectors, list(range(400)), None, 5, 0.5, dtype)
    assert index.manifest["settings"]["kind"] == kind
    if kind != "brute force":
        index.manifest["settings"] |= {"reordered": 400}
    if kind == "tree":
        index.manifest["settings"] |= {"leaves_to_search": 20}
    finder = ScannNeighborFinder(Vectors(), vectors, index.manifest, 5, labels, 0.2)
    signatures = {"serving_default": finder.find}
    save_model(finder, signatures, str(tmp_path / "1"), {}, [NAMESPACE])
    loaded = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    found = loaded(image_bytes=files(queries))
    assert found["ids"].dtype == tf.int64
    products = queries @ vectors.T
    best = -np.sort(-products, axis=1)[:, :5]
    np.testing.assert_allclose(found["similarities"], best, atol=error)
    of_found = np.take_along_axis(products, found["ids"].numpy(), axis=1)
    np.testing.assert_allclose(of_found, best, atol=error)
    votes = np.exp(found["similarities"].numpy() / 0.2)[:, :, None]
    votes = (votes * np.eye(3)[labels[found["ids"].numpy()]]).sum(axis=1)
    expected = votes / votes.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["class_probabilities"], expected, atol=1e-4)


def test_what_is_not_found_is_masked_and_does_not_vote():
    vectors = unit_rows(400)
    settings = {"kind": "tree", "dtype": "float32", "leaves": 20}
    manifest = {
        "settings": {**settings, "leaves_to_search": 1, "reordered": 400},
        "recall": {"k": 200},
        "n": 400,
    }
    # Row 0, with which ScaNN pads, alone is of class 1.
    labels = np.arange(400) == 0
    finder = ScannNeighborFinder(
        Vectors(), vectors, manifest, 200, labels.astype(np.int64)
    )
    found = finder.find(files(unit_rows(20, seed=1)))
    ids, similarities = found["ids"].numpy(), found["similarities"].numpy()
    assert ids.shape == similarities.shape == (20, 200)
    np.testing.assert_array_equal(ids == -1, similarities == -1)
    # ScaNN's k-means may leave a leaf empty: it finds nothing for the queries there.
    assert (ids[:, -1] == -1).all() and (ids[:, 0] >= 0).sum() >= 15
    for query in range(20):
        rows = ids[query][ids[query] >= 0]
        assert len(set(rows)) == len(rows)
        votes = found["class_probabilities"][query, 1]
        assert (votes > 0) == (0 in rows)


def test_bfloat16_is_refused():
    with pytest.raises(ValueError, match=r"float32 or int8: .* Received: bfloat16"):
        check_dtype_of_ops("bfloat16")
