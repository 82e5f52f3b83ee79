"""The index beneath a live one: built like the one before, with ScaNN or without."""

import sys

import numpy as np
import pytest

from npid_tf.search.builder import build_index
from npid_tf.search.live.base import BaseIndex, build_base
from tests.support.vectors import unit_rows

LIKE = {
    "encoder_hash": "abc",
    "data": {"dataset": "digits"},
    "curve": [],
    "settings": {"kind": "brute force", "dtype": "int8"},
    "recall": {"k": 3, "target": 0.6, "value": 0.99},
}
NAMES = [f"photos/{row}.jpg" for row in range(50)]


@pytest.fixture
def without_scann(monkeypatch):
    monkeypatch.setitem(sys.modules, "scann", None)


def test_the_index_of_an_export_has_its_ids_as_text(tmp_path):
    pytest.importorskip("scann")
    labels = [str(row % 3) for row in range(50)]
    index = build_index(unit_rows(50), list(range(50)), labels, 3, 0.9)
    index.save(str(tmp_path))
    base = BaseIndex(str(tmp_path))
    assert base.ids == [str(row) for row in range(50)]
    assert base.labels == labels
    assert base.is_exact and base.why_exact is None
    np.testing.assert_array_equal(base.vectors[:], unit_rows(50))
    rows, _ = base.scann.search(unit_rows(50), 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(50))


def test_it_is_built_like_the_one_before(tmp_path):
    pytest.importorskip("scann")
    labels = ["a", None] * 25
    build_base(str(tmp_path), unit_rows(50), NAMES, labels, LIKE)
    base = BaseIndex(str(tmp_path))
    assert (base.ids, base.labels) == (NAMES, labels)
    assert base.manifest["settings"] == {"kind": "brute force", "dtype": "int8"}
    assert base.manifest["encoder_hash"] == "abc"
    assert base.manifest["data"] == {"dataset": "digits"}
    recall = base.manifest["recall"]
    assert (recall["k"], recall["target"]) == (3, 0.6)
    assert recall["value"] >= 0.6


@pytest.mark.parametrize("n", [0, 1, 50])
def test_without_scann_it_is_exact_and_says_why(tmp_path, without_scann, n):
    names, labels = NAMES[:n], [None] * n
    build_base(str(tmp_path), unit_rows(n), names, labels, LIKE)
    base = BaseIndex(str(tmp_path))
    assert base.scann is None and base.is_exact
    reason = "2 items or more" if n < 2 else "pip install scann"
    assert reason in base.why_exact
    assert (base.ids, base.labels) == (names, labels)
    np.testing.assert_array_equal(base.vectors[:], unit_rows(n))
    # With ScaNN again, the next one is what the first one was.
    assert base.manifest["settings"]["dtype"] == "int8"
    assert base.manifest["recall"] == {"k": 3, "target": 0.6, "value": 1.0}


def test_an_index_of_scann_is_read_without_it(tmp_path, monkeypatch):
    pytest.importorskip("scann")
    build_base(str(tmp_path), unit_rows(50), NAMES, [None] * 50, LIKE)
    monkeypatch.setitem(sys.modules, "scann", None)
    base = BaseIndex(str(tmp_path))
    assert base.scann is None and base.is_exact
    assert "pip install scann" in base.why_exact
    np.testing.assert_allclose(base.vectors[:], unit_rows(50), atol=2**-6)


def test_a_recall_that_cannot_be_had_is_refused(tmp_path):
    pytest.importorskip("scann")
    like = {**LIKE, "recall": {"k": 3, "target": 1.0}}
    with pytest.raises(ValueError, match=r"misses --recall=1.0"):
        build_base(str(tmp_path), unit_rows(50), NAMES, [None] * 50, like)


def test_rounding_again_and_again_does_not_add_up(tmp_path):
    pytest.importorskip("scann")
    vectors = unit_rows(300)
    names, labels = list(map(str, range(300))), [None] * 300
    for generation in range(5):
        folder = tmp_path / str(generation)
        folder.mkdir()
        build_base(str(folder), vectors, names, labels, LIKE)
        vectors = BaseIndex(str(folder)).vectors[:]
    similarities = np.einsum("nd,nd->n", vectors, unit_rows(300))
    assert similarities.min() > 0.999
