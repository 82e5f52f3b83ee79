"""The kNN benchmark at a tiny size."""

import pathlib

import numpy as np

import knn as benchmark


def test_a_tiny_run_prints_all_contenders_and_they_agree(capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "peak_memory", lambda *_: 0)  # a process for each
    benchmark.main(
        ["--num_queries=40", "--num_rows=600", "--many_queries=20"]
        + ["--many_rows=2000", "--k=9", "--repeats=1"]
    )
    _, _, many, _, header, _, *rows = capsys.readouterr().out.splitlines()
    assert "40 queries, 600 rows, k = 9" in header
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(cells) == 7
    for name, *_, difference in cells:
        if difference:  # neither a product alone nor missing
            assert float(difference) < 1e-5, name
    assert "20 queries, 2,000 rows" in many


def test_the_peak_of_the_product_alone_is_the_product():
    vectors, queries = benchmark.clustered(100_000, 200)
    peak = benchmark.peak_memory("NumPy product alone", vectors, queries, k=9)
    assert 80e6 <= peak < 100e6


def test_a_wrong_neighbor_shows_as_a_difference():
    vectors, queries = benchmark.clustered(500, 20)
    right = np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
    wrong = np.where(np.arange(5) == 4, 499 - right, right)
    assert benchmark.difference(queries, vectors, right, 5) < 1e-6
    assert benchmark.difference(queries, vectors, wrong, 5) > 0.1


def test_an_embedded_run_has_the_rows_and_queries_of_its_images(
    trained_workdir, tmp_path
):
    flags = pathlib.Path(trained_workdir.workdir, "flags.cfg").read_text()
    (tmp_path / "flags.cfg").write_text(f"{flags}\n--eval_split=train[256:300]\n")
    (tmp_path / "checkpoints").symlink_to(f"{trained_workdir.workdir}/checkpoints")
    vectors, queries = benchmark.embedded(str(tmp_path))
    assert (len(vectors), len(queries)) == (256, 44)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
