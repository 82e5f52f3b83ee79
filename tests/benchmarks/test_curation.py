"""The benchmark of curation at a tiny size."""

import curation as benchmark


def test_a_tiny_run_finds_what_was_planted_and_writes_every_format(capsys):
    # In fewer dimensions a random vector may lie in a cluster: no outlier.
    benchmark.main(["--num_rows=1000", "--dim=128", "--k=5", "--subset_size=30"])
    shown = capsys.readouterr().out
    assert "1,000 rows of 128 numbers" in shown
    assert "all pairs compared" in shown and "recall 1.000" in shown
    assert "| 100 of 100 copies, 100 pairs |" in shown
    assert "| 100 of 100 |" in shown  # Outliers.
    for suffix in (".npz", ".npy", ".parquet", ".jsonl"):
        assert f"| write {suffix} |" in shown and f"| read {suffix} |" in shown
