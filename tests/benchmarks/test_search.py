"""The search benchmark at a tiny size, with the libraries that are there."""

import importlib.util
import sys

import numpy as np
import pytest

import search
from tests.support.vectors import unit_rows

pytest.importorskip("scann")


@pytest.fixture
def arguments(tmp_path):
    random = np.random.default_rng(0)
    vectors = unit_rows(700, 16, seed=random)
    cache = tmp_path / "views.npz"
    np.savez(cache, vectors=vectors[:600], queries=vectors[600:])
    return [f"--cache={cache}", "--num_vectors=600", "--rounds=1", "--recall=0.9"]


def test_indexes_that_are_exact_find_everything(arguments, capsys):
    results = search.main(arguments)
    exact = ["npid_tf, float32 vectors"]
    if importlib.util.find_spec("faiss"):
        exact.append("FAISS flat")
        assert results["FAISS IVF-flat"][0] > 0.5
    for name in exact:
        recall, milliseconds, _, num_bytes, seconds = results[name]
        assert recall == 1
        assert milliseconds > 0 and seconds > 0
        assert 600 * 16 * 4 < num_bytes < 2 * 600 * 16 * 4
    if importlib.util.find_spec("hnswlib"):
        assert results["hnswlib, M = 16"][0] >= 0.9
    shown = capsys.readouterr().out
    assert all(f"| {name} |" in shown for name in results)
    assert "50 queries, one at a time on one core" in shown


def test_a_library_that_is_missing_says_so(arguments, monkeypatch, capsys):
    for name in ("faiss", "hnswlib"):
        monkeypatch.setitem(sys.modules, name, None)
    results = search.main(arguments)
    assert [name for name, result in results.items() if result] == [
        "npid_tf, int8 vectors",
        "npid_tf, float32 vectors",
    ]
    shown = capsys.readouterr().out
    assert shown.count("not installed: pip install '.[benchmarks]'") == len(results) - 2
