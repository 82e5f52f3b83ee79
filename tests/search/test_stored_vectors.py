"""Vectors come back from an index as they went in, but for the rounding asked for."""

import os

import numpy as np
import pytest

from npid_tf.search import builder
from npid_tf.search.builder import build_scann_index
from npid_tf.search.stored_vectors import StoredVectors
from tests.support.vectors import unit_rows


@pytest.fixture(autouse=True)
def scann():
    return pytest.importorskip("scann")


@pytest.mark.parametrize("kind", ["brute force", "quantized"])
@pytest.mark.parametrize(
    ("dtype", "error"), [("float32", 0), ("bfloat16", 2**-8), ("int8", 2**-6)]
)
def test_they_are_those_that_were_indexed(tmp_path, monkeypatch, kind, dtype, error):
    if kind == "quantized":
        monkeypatch.setattr(builder, "BRUTE_FORCE_UP_TO", 0)
    vectors = unit_rows(400)
    build_scann_index(vectors, list(range(400)), None, 3, 0.3, dtype).save(
        str(tmp_path)
    )
    stored = StoredVectors(str(tmp_path), 8)
    assert len(stored) == 400
    np.testing.assert_allclose(stored[:], vectors, atol=error)
    np.testing.assert_allclose(np.linalg.norm(stored[:], axis=1), 1, atol=1e-5)
    for rows in (slice(10, 20), np.array([7, 3])):
        np.testing.assert_array_equal(stored[rows], stored[:][rows])
    if error:
        assert np.abs(stored[:] - vectors).max() > error / 100


def test_a_folder_without_vectors_is_refused(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path} holds no vectors"):
        StoredVectors(str(tmp_path), 8)


def test_it_reads_what_was_there_when_it_was_opened(tmp_path):
    np.save(tmp_path / "dataset.npy", unit_rows(3))
    stored = StoredVectors(str(tmp_path), 8)
    os.remove(tmp_path / "dataset.npy")
    np.testing.assert_array_equal(stored[:], unit_rows(3))
