"""The benchmark of the losses at tiny size."""

import numpy as np
import pytest
import tensorflow as tf

import losses
import npid_tf

# A program of benchmarks/, of a minute or so.
pytestmark = pytest.mark.slow


SIZES = ["--num_instances=40", "--batch_size=4", "--num_negatives", "8", "4000"]


def table(output):
    """{(loss, library, m): the other cells} of the Markdown table that was printed."""
    lines = [line for line in output.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {(row[0], row[1], row[4]): row[5:] for row in cells if row[0] != "---"}


def test_prints_a_row_for_every_loss_and_number_of_negatives(capsys):
    losses.main([*SIZES, "--repeats=1"])
    rows = table(capsys.readouterr().out)
    assert {
        ("exact, one-pass", "npid_tf", ""),
        ("exact, dense", "PyTorch", ""),
        ("NCE, shared", "npid_tf", "8"),
        ("NCE, per sample", "PyTorch", "8"),
        ("sampled softmax, shared", "npid_tf", "8"),
        ("bank update", "npid_tf", ""),
    } <= set(rows)
    assert "4000" not in {m for _, _, m in rows}  # more than there are instances
    milliseconds, _, ratio = rows["exact, one-pass", "npid_tf", ""]
    assert float(milliseconds) > 0 and ratio == "1.000"


def test_leaves_out_and_names_what_takes_too_much_memory(capsys):
    losses.main([*SIZES, "--repeats=1", "--max_gigabytes=1e-6"])
    rows = table(capsys.readouterr().out)
    assert "skipped" in rows["exact, dense", "TensorFlow", ""][0]
    assert "skipped" not in rows["NCE, per sample", "npid_tf", "8"][0]


def test_the_dense_contender_and_the_floor_compute_what_they_say():
    bank = npid_tf.MemoryBank(40, losses.DIM)
    embeddings, indices = bank.lookup([3, 5]), tf.constant([3, 5], tf.int64)
    steps = {
        name: losses.tensorflow_step(loss, bank, embeddings, indices)()
        for name, loss in {
            "exact": npid_tf.NonparametricSoftmax(losses.TEMPERATURE),
            "dense": losses.dense_softmax,
            "products": losses.products(bank, 40),
        }.items()
    }
    np.testing.assert_allclose(steps["dense"], steps["exact"], atol=1e-4)
    rows = bank.vectors.numpy()
    np.testing.assert_allclose(
        steps["products"], embeddings.numpy() @ rows.T @ rows, atol=1e-4
    )
