"""SGD on rows w_j that are read as w_j / ||w_j||, the classes of a cross-entropy."""

import tensorflow as tf

from npid_tf.banks.rows import Rows
from npid_tf.losses.one_pass import chunk_size

NO_AVERAGE = (
    "{} follow the gradient of InstanceCrossEntropy, in an InstanceClassifier; they "
    "are no average of embeddings. Use a MemoryBank."
)


def descend(
    rows: Rows,
    velocity: Rows,
    candidates,
    *,
    queries,
    log_totals,
    targets,
    weights,
    learning_rate,
    momentum: float,
    weight_decay: float,
):
    """A step of SGD: u <- momentum u + g + weight_decay w, w <- w - learning_rate u.

    The gradient g of row w_j is sum_i (exp(q_i.w_j - log_totals_i) - y_ij) q_i, less
    its part along w_j, over ||w_j||. It is made and applied in chunks of rows, never as
    a whole. Memory: O(chunk * (batch + dim) + batch * targets * dim).

    Args:
        rows, velocity: w and u.
        candidates: (function from places int64 [m], counted from 0, to numbers of rows
            held here int64 [m]; how many there are): the rows that take the step.
        queries: float32 [batch, d], embeddings over tau, of all replicas.
        log_totals: float32 [batch], log sum_j exp(q_i.w_j) and, added to it, the log of
            what to divide the gradients by.
        targets: int64 [batch, 1 + K], the rows j with y_ij > 0, each once.
        weights: float32 [1 + K], their y_ij, divided alike.
        learning_rate: float32 scalar.
    """
    first, w = rows.local_slice()
    _, u = velocity.local_slice()
    row_at, num_rows = candidates
    numbers, pulls = _pulls(rows, queries, targets, weights)

    def descend_chunk(size, start):
        places = tf.cast(start, tf.int64) + tf.range(size, dtype=tf.int64)
        chunk = row_at(places) - first
        old = tf.gather(w, chunk)
        units, norms = _unit(old)
        scores = tf.matmul(units, queries, transpose_b=True)  # [size, batch]
        gradient = tf.matmul(tf.exp(scores - log_totals), queries)
        gradient = _tangent(gradient, units, norms) + weight_decay * old
        new = momentum * tf.gather(u, chunk) + gradient
        u.scatter_update(tf.IndexedSlices(new, chunk))
        w.scatter_sub(tf.IndexedSlices(learning_rate * new, chunk))
        return start + size

    size = chunk_size(queries.shape[0] or 128, num_rows)
    (start,) = tf.while_loop(
        lambda start: start + size <= num_rows,
        lambda start: [descend_chunk(size, start)],
        [tf.constant(0)],
        parallel_iterations=1,
    )
    rest = num_rows % size
    if tf.is_tensor(rest) or rest:
        descend_chunk(rest, start)
    # SGD is linear in the gradient: the targets' part may come after.
    u.scatter_sub(tf.IndexedSlices(pulls, numbers))
    w.scatter_add(tf.IndexedSlices(learning_rate * pulls, numbers))


def _pulls(rows, queries, targets, weights):
    """The targets' part of the gradient: held rows' numbers here, and y_ij q_i."""
    first, w = rows.local_slice()
    pairs = tf.where(rows.holds(targets))  # [num_pairs, 2]
    numbers = tf.gather_nd(targets, pairs) - first
    units, norms = _unit(tf.gather(w, numbers))
    pulls = tf.gather(weights, pairs[:, 1])[:, None]
    pulls *= tf.gather(queries, pairs[:, 0])
    return numbers, _tangent(pulls, units, norms)


def _unit(rows):
    norms = tf.maximum(tf.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows / norms, norms


def _tangent(gradient, units, norms):
    """The gradient in w of a function of w / ||w||."""
    along = tf.reduce_sum(gradient * units, axis=1, keepdims=True)
    return (gradient - along * units) / norms
