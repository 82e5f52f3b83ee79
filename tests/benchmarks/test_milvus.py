"""The benchmark of Milvus at a tiny size."""

import numpy as np

import milvus
from tests.support.vectors import unit_rows


def test_exact_search_finds_all(milvus_lite, tmp_path, capsys):
    vectors = unit_rows(300, 16)
    cache = tmp_path / "views.npz"
    np.savez(cache, vectors=vectors[:250], queries=vectors[250:])
    result = milvus.main([f"--cache={cache}", "--num_vectors=250"])
    assert result["engine"] == "milvus, FLAT"
    assert (result["items"], result["recall@10"]) == ("250", "1.0000")
    assert result["of 1,000 upserted, found first"] == 250
    assert result["of 1,000 deleted, found"] == 0
    assert "| milvus, FLAT | 250 |" in capsys.readouterr().out
