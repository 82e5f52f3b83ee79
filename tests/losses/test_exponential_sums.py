"""The one pass over the rows, against its float64 form."""

import numpy as np
import tensorflow as tf

from npid_tf.losses.exponential_sums import chunk_size, exponential_sums

RNG = np.random.default_rng(0)


def test_total_and_gradient_equal_the_float64_reference():
    rows = RNG.normal(size=(50, 6)).astype(np.float32)
    queries = tf.constant(RNG.normal(size=(4, 6)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(queries)
        total = exponential_sums(queries, lambda numbers: tf.gather(rows, numbers), 50)
    weights = np.exp(queries.numpy().astype(np.float64) @ rows.T)
    np.testing.assert_allclose(total, weights.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(
        tape.gradient(total, queries), weights @ rows, rtol=1e-5, atol=1e-4
    )


def test_chunks_are_no_larger_than_the_rows_and_bounded_for_large_batches():
    assert chunk_size(batch_size=8, num_rows=100) == 100
    assert chunk_size(batch_size=1 << 20, num_rows=5000) == 1024
