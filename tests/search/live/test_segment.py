"""The index beneath a live one: built like the one before, with ScaNN or without."""

import sys

import numpy as np
import pytest

from npid_tf.search.builder import build_scann_index
from npid_tf.search.live.segment import Segment, build_segment
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
    index = build_scann_index(unit_rows(50), list(range(50)), labels, 3, 0.9)
    index.save(str(tmp_path))
    segment = Segment(str(tmp_path))
    assert segment.ids == [str(row) for row in range(50)]
    assert segment.labels == labels
    assert segment.is_exact and segment.why_exact is None
    np.testing.assert_array_equal(segment.vectors[:], unit_rows(50))
    rows, _ = segment.scann.search(unit_rows(50), 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(50))


def test_it_is_built_like_the_one_before(tmp_path):
    pytest.importorskip("scann")
    labels = ["a", None] * 25
    build_segment(str(tmp_path), unit_rows(50), NAMES, labels, LIKE)
    segment = Segment(str(tmp_path))
    assert (segment.ids, segment.labels) == (NAMES, labels)
    assert segment.manifest["settings"] == {"kind": "brute force", "dtype": "int8"}
    assert segment.manifest["encoder_hash"] == "abc"
    assert segment.manifest["data"] == {"dataset": "digits"}
    recall = segment.manifest["recall"]
    assert (recall["k"], recall["target"]) == (3, 0.6)
    assert recall["value"] >= 0.6


@pytest.mark.parametrize("n", [0, 1, 50])
def test_without_scann_it_is_exact_and_says_why(tmp_path, without_scann, n):
    names, labels = NAMES[:n], [None] * n
    build_segment(str(tmp_path), unit_rows(n), names, labels, LIKE)
    segment = Segment(str(tmp_path))
    assert segment.scann is None and segment.is_exact
    reason = "2 items" if n < 2 else "pip install scann"
    assert reason in segment.why_exact
    assert (segment.ids, segment.labels) == (names, labels)
    np.testing.assert_array_equal(segment.vectors[:], unit_rows(n))
    # With ScaNN again, the next one is what the first one was.
    assert segment.manifest["settings"]["dtype"] == "int8"
    assert segment.manifest["recall"] == {"k": 3, "target": 0.6, "value": 1.0}


def test_an_index_of_scann_is_read_without_it(tmp_path, monkeypatch):
    pytest.importorskip("scann")
    build_segment(str(tmp_path), unit_rows(50), NAMES, [None] * 50, LIKE)
    monkeypatch.setitem(sys.modules, "scann", None)
    segment = Segment(str(tmp_path))
    assert segment.scann is None and segment.is_exact
    assert "pip install scann" in segment.why_exact
    np.testing.assert_allclose(segment.vectors[:], unit_rows(50), atol=2**-6)


def test_a_recall_that_cannot_be_had_is_refused(tmp_path):
    pytest.importorskip("scann")
    like = {**LIKE, "recall": {"k": 3, "target": 1.0}}
    with pytest.raises(ValueError, match=r"misses --recall=1.0"):
        build_segment(str(tmp_path), unit_rows(50), NAMES, [None] * 50, like)


def test_rounding_again_and_again_does_not_add_up(tmp_path):
    pytest.importorskip("scann")
    vectors = unit_rows(300)
    names, labels = list(map(str, range(300))), [None] * 300
    for generation in range(5):
        folder = tmp_path / str(generation)
        folder.mkdir()
        build_segment(str(folder), vectors, names, labels, LIKE)
        vectors = Segment(str(folder)).vectors[:]
    similarities = np.einsum("nd,nd->n", vectors, unit_rows(300))
    assert similarities.min() > 0.999
