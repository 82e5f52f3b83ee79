"""Sums over many rows and what they weigh in the gradient, in one pass.

sum_j f(q.v_j) over rows v_j is what every loss needs: f = exp for a softmax, softplus
for NCE. `terms` are an f and its slope: a function from scores float32 [batch, chunk]
to f(scores) and f'(scores).
"""

import functools

import tensorflow as tf

CHUNKS_AT_ONCE = 2  # One is multiplied while another's exp waits for memory.
ROWS_IN_CACHE = 1 << 21  # Numbers, of a chunk of images' own rows.


def exponential(scores):
    """The terms of a softmax: exp, which is its own slope.

    Unit rows and queries of at most length 1 / tau <= 50 keep it in float32's range
    without shifting by the maximum, so that chunks and shards merge by plain sums.
    """
    powers = tf.exp(scores)
    return powers, powers


def sum_over_rows(terms, queries, lookup, num_rows, thresholds=None):
    """sum_j f(q.v_j) over the same rows v_j for all, differentiable in the queries.

    The rows are read in chunks, once: the pass that adds up f(q.v_j) adds up
    f'(q.v_j) v_j, the gradient, as well. Memory: O(batch * (dim + chunk)).

    Of bfloat16 rows the matrix products are bfloat16 as well, as in mixed precision:
    added up in float32, then rounded, so that a q.v_j may be off by 1 / 256 of it. All
    else is float32.

    Args:
        terms: f and its slope, see above.
        queries: float32 [batch, dim].
        lookup: from row numbers int64 [chunk] to float32 or bfloat16 [chunk, dim].
        num_rows: how many rows there are, an int or an int32 scalar.
        thresholds: float32 [batch], to count the rows with q.v_j above it as well.
            Raise a row's own score a little: its q.v_j may be rounded up here.

    Returns:
        float32 [batch]; with thresholds, that and the counts, int32 [batch].
    """

    @tf.custom_gradient
    def total_of(queries):
        total, weighted, above = _one_pass(terms, queries, lookup, num_rows, thresholds)
        outputs = total if thresholds is None else (total, above)
        return outputs, lambda upstream, *_: upstream[:, None] * weighted

    return total_of(queries)


def _one_pass(terms, queries, lookup, num_rows, thresholds):
    """sum_j f(q.v_j), sum_j f'(q.v_j) v_j and the rows with q.v_j > threshold.

    float32 [batch], float32 [batch, dim] and int32 [batch] (zeros without thresholds).
    """
    dim = queries.shape[1]
    batch = tf.shape(queries)[0]
    chunk = chunk_size(queries.shape[0] or 128, num_rows)

    def add_rows(size, start, total, weighted, above):
        # int64, since on a GPU int32 would be counted on the host and copied.
        numbers = tf.cast(start, tf.int64) + tf.range(size, dtype=tf.int64)
        rows = lookup(numbers)  # [size, dim]
        scores = product(queries, rows, transpose_b=True)  # [batch, size]
        if thresholds is not None:
            # Summed as floats, which is faster, and exact up to 2^24 rows.
            is_above = tf.cast(scores > thresholds[:, None], tf.float32)
            above += tf.cast(tf.reduce_sum(is_above, axis=1), tf.int32)
        values, slopes = terms(scores)
        total += tf.reduce_sum(values, axis=1)
        weighted += product(slopes, rows)
        return start + size, total, weighted, above

    sums = tf.while_loop(
        lambda start, *_: start + chunk <= num_rows,
        functools.partial(add_rows, chunk),
        (
            tf.constant(0),
            tf.zeros([batch]),
            tf.zeros([batch, dim]),
            tf.zeros([batch], tf.int32),
        ),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([queries.shape[0]]),
            tf.TensorShape([queries.shape[0], dim]),
            tf.TensorShape([queries.shape[0]]),
        ),
        parallel_iterations=CHUNKS_AT_ONCE,
    )
    rest = num_rows % chunk
    if tf.is_tensor(rest) or rest:
        # The last rows are apart, since XLA wants chunks of one size.
        sums = add_rows(rest, *sums)
    return sums[1:]


def sum_over_own_rows(terms, queries, numbers, lookup):
    """sum_k f(q.v_k) over rows of each image's own, differentiable in the queries.

    As `sum_over_rows`, some images at a time, so that their rows stay in the cache:
    those of the whole batch take batch * m * dim.

    Args:
        terms: f and its slope.
        queries: float32 [batch, dim].
        numbers: int64 [batch, m].
        lookup: from numbers [images, m] to float32 or bfloat16 [images, m, dim], and
            bool [images, m], False for what to leave out of the sum.

    Returns:
        float32 [batch].
    """
    batch, dim, m = tf.shape(queries)[0], queries.shape[1], numbers.shape[1]
    images = tf.minimum(max(1, ROWS_IN_CACHE // (m * dim)), batch)

    def in_groups(batched):
        # Filled up with the first images, since tf.pad of int64 has no GPU kernel.
        padded = tf.concat([batched, batched[: -batch % images]], axis=0)
        return tf.reshape(padded, [-1, images, batched.shape[1]])

    def of_group(group):
        queries, numbers = group
        rows, is_kept = lookup(numbers)
        scores = product(queries[:, None], rows, transpose_b=True)[:, 0]
        values, slopes = (tf.where(is_kept, each, 0.0) for each in terms(scores))
        return tf.reduce_sum(values, axis=1), product(slopes[:, None], rows)[:, 0]

    @tf.custom_gradient
    def total_of(queries):
        total, weighted = tf.map_fn(
            of_group,
            (in_groups(queries), in_groups(numbers)),
            fn_output_signature=(tf.float32, tf.float32),
            parallel_iterations=CHUNKS_AT_ONCE,
        )
        total = tf.reshape(total, [-1])[:batch]
        weighted = tf.reshape(weighted, [-1, dim])[:batch]
        return total, lambda upstream: upstream[:, None] * weighted

    return total_of(queries)


def product(a, rows, transpose_b=False):
    """a [..., m, k], float32, times rows, in the dtype of these: float32."""
    a = tf.cast(a, rows.dtype)
    return tf.cast(tf.matmul(a, rows, transpose_b=transpose_b), tf.float32)


def chunk_size(batch_size, num_rows):
    """Rows read at a time: as many as give 4 MB of similarities, up to 16,384.

    Larger chunks leave the cache, smaller matrix products are slower. Of few rows half,
    since two chunks are worked on at once.
    """
    size = max(1024, min(1 << 14, (1 << 20) // batch_size))
    return size if tf.is_tensor(num_rows) else min(-(-num_rows // 2), size)
