"""The one pass over the rows, against its float64 form."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.losses.one_pass import (
    chunk_size,
    exponential,
    sum_over_own_rows,
    sum_over_rows,
)
from tests.support.vectors import unit_rows

RNG = np.random.default_rng(0)


def total_and_gradient(queries, rows):
    """The sums of exponentials as the package makes them, and their gradient."""
    queries = tf.constant(queries)
    with tf.GradientTape() as tape:
        tape.watch(queries)
        total = sum_over_rows(
            exponential, queries, lambda numbers: tf.gather(rows, numbers), len(rows)
        )
    return total.numpy(), tape.gradient(total, queries).numpy()


def assert_equal_to_float64(total, gradient, queries, rows):
    weights = np.exp(queries.astype(np.float64) @ rows.T.astype(np.float64))
    np.testing.assert_allclose(total, weights.sum(axis=1), rtol=1e-5)
    expected = weights @ rows
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(gradient, expected, atol=tolerance, rtol=0)


@pytest.fixture(params=[None, 8], ids=["one_chunk", "chunks_of_8"])
def chunk(request, monkeypatch):
    """Fifty rows at once, or in six chunks of 8 and two rows left."""
    if request.param:
        module = "npid_tf.losses.one_pass.chunk_size"
        monkeypatch.setattr(module, lambda batch_size, num_rows: request.param)


def test_total_and_gradient_equal_the_float64_reference(chunk):
    queries, rows = unit_rows(4, 6, seed=RNG) / 0.07, unit_rows(50, 6, seed=RNG)
    assert_equal_to_float64(*total_and_gradient(queries, rows), queries, rows)


def test_fifty_thousand_rows_keep_float32_precision():
    # 350 queries are compared with 2,995 rows at a time: 16 whole chunks and a part.
    rows = unit_rows(50_000, 128, seed=RNG)
    queries = rows[:350] / np.float32(0.07)
    assert_equal_to_float64(*total_and_gradient(queries, rows), queries, rows)


def test_counts_the_rows_above_the_thresholds(chunk):
    queries, rows = unit_rows(4, 6, seed=RNG) / 0.07, unit_rows(50, 6, seed=RNG)
    scores = queries @ rows.T
    sorted_scores = np.sort(scores, axis=1)[:, ::-1]
    # Halfway between neighbors: 0, 1, 7 and all 50 rows are above.
    thresholds = np.array(
        [
            sorted_scores[0, 0] + 1,
            sorted_scores[1, :2].mean(),
            sorted_scores[2, 6:8].mean(),
            sorted_scores[3, -1] - 1,
        ],
        np.float32,
    )
    with tf.GradientTape() as tape:
        tensor = tf.constant(queries)
        tape.watch(tensor)
        total, above = sum_over_rows(
            exponential,
            tensor,
            lambda numbers: tf.gather(rows, numbers),
            50,
            thresholds,
        )
    assert above.numpy().tolist() == [0, 1, 7, 50]
    gradient = tape.gradient(total, tensor).numpy()
    assert_equal_to_float64(total.numpy(), gradient, queries, rows)


def test_rows_may_be_read_in_bfloat16(chunk):
    queries, stored = (
        unit_rows(4, 6, seed=RNG) / 0.07,
        tf.cast(unit_rows(5000, 6, seed=RNG), tf.bfloat16),
    )
    with tf.GradientTape() as tape:
        tensor = tf.constant(queries)
        tape.watch(tensor)
        total = sum_over_rows(
            exponential, tensor, lambda numbers: tf.gather(stored, numbers), 5000
        )
    rows = tf.cast(stored, tf.float64).numpy()
    gradient = tape.gradient(total, tensor).numpy()
    weights = np.exp(queries.astype(np.float64) @ rows.T)
    # Scores, and the queries of which they are products, are off by 2^-9 of them, the
    # more on CPUs that round each of them: e^(2 * 14 / 512) is 1.06. But sums in
    # bfloat16 would stop growing at 256 times a term, a twentieth of these.
    np.testing.assert_allclose(total, weights.sum(axis=1), rtol=0.06)
    expected = weights @ rows
    error = np.linalg.norm(gradient - expected, axis=1)
    assert (error / np.linalg.norm(expected, axis=1)).max() < 0.06


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_runs_compiled(chunk, jit_compile):
    queries, rows = unit_rows(4, 6, seed=RNG) / 0.07, unit_rows(50, 6, seed=RNG)
    variable = tf.Variable(rows, trainable=False)

    @tf.function(jit_compile=jit_compile)
    def run(queries):
        with tf.GradientTape() as tape:
            tape.watch(queries)
            total, above = sum_over_rows(
                exponential,
                queries,
                lambda numbers: tf.gather(variable, numbers),
                50,
                thresholds=tf.zeros([4]),
            )
        return total, tape.gradient(total, queries), above

    with tf.device("CPU:0"):
        total, gradient, above = run(tf.constant(queries))
    assert_equal_to_float64(total.numpy(), gradient.numpy(), queries, rows)
    np.testing.assert_array_equal(above, (queries @ rows.T > 0).sum(axis=1))


def test_the_batch_may_be_unknown_when_traced(chunk):
    queries, rows = unit_rows(7, 6, seed=RNG) / 0.07, unit_rows(50, 6, seed=RNG)

    @tf.function(input_signature=[tf.TensorSpec([None, 6], tf.float32)])
    def run(queries):
        return sum_over_rows(
            exponential,
            queries,
            lambda numbers: tf.gather(rows, numbers),
            50,
            queries[:, 0],
        )

    for size in (7, 3):
        total, above = run(queries[:size])
        scores = queries[:size].astype(np.float64) @ rows.T
        np.testing.assert_allclose(total, np.exp(scores).sum(axis=1), rtol=1e-5)
        expected = (scores > queries[:size, :1]).sum(axis=1)
        np.testing.assert_array_equal(above, expected)


def test_a_chunk_is_bounded_by_the_rows_the_similarities_and_from_below():
    assert chunk_size(batch_size=8, num_rows=101) == 51
    assert chunk_size(batch_size=64, num_rows=1_281_167) == 16_384
    assert chunk_size(batch_size=256, num_rows=1_281_167) == 4096
    assert chunk_size(batch_size=1 << 20, num_rows=5000) == 1024


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("images", [1, 3, 100])
def test_own_rows_of_some_images_at_a_time(images, jit_compile, monkeypatch):
    name = "npid_tf.losses.one_pass.ROWS_IN_CACHE"
    monkeypatch.setattr(name, images * 9 * 6)
    queries, rows = unit_rows(7, 6, seed=RNG) / 0.07, unit_rows(50, 6, seed=RNG)
    numbers = RNG.integers(0, 50, [7, 9])
    variable = tf.Variable(rows, trainable=False)

    def lookup(numbers):
        is_kept = numbers < 40
        return tf.gather(variable, tf.where(is_kept, numbers, 0)), is_kept

    @tf.function(jit_compile=jit_compile)
    def run(queries):
        with tf.GradientTape() as tape:
            tape.watch(queries)
            total = sum_over_own_rows(
                exponential, queries, tf.constant(numbers), lookup
            )
        return total, tape.gradient(total, queries)

    with tf.device("CPU:0"):
        total, gradient = run(tf.constant(queries))
    kept = numbers < 40
    vectors = rows[numbers].astype(np.float64)
    weights = kept * np.exp(np.einsum("bkd,bd->bk", vectors, queries))
    np.testing.assert_allclose(total, weights.sum(axis=1), rtol=1e-5)
    expected = np.einsum("bk,bkd->bd", weights, vectors)
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(gradient, expected, atol=tolerance, rtol=0)
