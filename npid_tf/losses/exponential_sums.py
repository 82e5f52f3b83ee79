"""The sums over many rows that softmax and its gradient need, in one pass."""

import functools

import tensorflow as tf


def exponential_sums(queries, lookup, num_rows):
    """sum_j exp(q.v_j) over all rows v_j, differentiable in the queries alone.

    The rows are read in chunks, once: the pass that adds up exp(q.v_j) adds up
    exp(q.v_j) v_j, the gradient, as well. Memory: O(batch * (dim + chunk)).

    Unit rows and queries of at most length 1 / tau <= 50 keep exp in float32's range
    without shifting by the maximum, so that chunks and shards merge by plain sums.

    Args:
        queries: float32 [batch, dim].
        lookup: from row numbers int32 [chunk] to float32 [chunk, dim].
        num_rows: how many rows there are.

    Returns:
        float32 [batch].
    """

    @tf.custom_gradient
    def total_of(queries):
        total, weighted = _one_pass(queries, lookup, num_rows)
        return total, lambda upstream: upstream[:, None] * weighted

    return total_of(queries)


def _one_pass(queries, lookup, num_rows):
    """sum_j exp(q.v_j) and sum_j exp(q.v_j) v_j: float32 [batch] and [batch, dim]."""
    dim = queries.shape[1]
    batch = tf.shape(queries)[0]
    chunk = chunk_size(queries.shape[0] or 128, num_rows)

    def add_rows(size, start, total, weighted):
        rows = lookup(start + tf.range(size))  # [size, dim]
        weights = tf.exp(tf.matmul(queries, rows, transpose_b=True))  # [batch, size]
        total += tf.reduce_sum(weights, axis=1)
        weighted += tf.matmul(weights, rows)
        return start + size, total, weighted

    sums = tf.while_loop(
        lambda start, *_: start + chunk <= num_rows,
        functools.partial(add_rows, chunk),
        (tf.constant(0), tf.zeros([batch]), tf.zeros([batch, dim])),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([queries.shape[0]]),
            tf.TensorShape([queries.shape[0], dim]),
        ),
        parallel_iterations=1,  # One chunk in memory at a time.
    )
    # The last rows are apart, since XLA wants chunks of one size.
    _, total, weighted = add_rows(num_rows % chunk, *sums)
    return total, weighted


def chunk_size(batch_size, num_rows):
    """Rows read at a time: about 16 MB of similarities, which stay near the cache."""
    return min(num_rows, max(1024, (4 << 20) // batch_size))
