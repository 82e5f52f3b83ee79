"""The benchmark of the input runs, and its JPEGs are like photographs."""

import numpy as np
import pytest
import tensorflow as tf

import input_pipeline


def test_a_tiny_run_makes_the_table(capsys):
    arguments = ["--images=4", "--batch_size=2", "--batches=1", "--repeats=1"]
    rows = input_pipeline.main(arguments)
    assert "per core" in capsys.readouterr().out
    assert [row[0] for row in rows if row[0].startswith("npid_tf")] == [
        "npid_tf",
        "npid_tf, 32x32",
    ]
    for row in rows:
        if "not installed" not in row[1]:
            assert float(row[1].replace(",", "")) > 0
            assert float(row[2].replace(",", "")) > 0


def test_jpegs_have_the_size_and_the_bytes_of_photographs(tmp_path):
    small = input_pipeline.small_images(3, None)
    assert small.shape == (3, 32, 32, 3) and np.ptp(small) > 100
    size = input_pipeline.write_jpegs(tmp_path / "jpegs", small)
    files = sorted((tmp_path / "jpegs").iterdir())
    assert size == pytest.approx(np.mean([file.stat().st_size for file in files]))
    assert 70_000 < size < 130_000
    for file in files:
        image = tf.io.decode_jpeg(file.read_bytes())
        assert image.shape == (input_pipeline.HEIGHT, input_pipeline.WIDTH, 3)
