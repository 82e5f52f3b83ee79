"""Weighted k-nearest-neighbor classification (Wu et al. 2018, section 3.4)."""

import numpy as np
import tensorflow as tf

QUERIES_AT_ONCE = 512
ROWS_AT_ONCE = 65_536
MISSING_LABELS = (
    "kNN needs labels of the training images and of the evaluated ones. Labels come "
    "with digits and tfds, with folder:DIR where each class is a sub-folder, and with "
    "`labels` in npz:FILE."
)


def nearest(queries, vectors, k):
    """The k most similar rows of each query, exactly, the most similar first.

    Rows are read once, in chunks, and only the best k so far are kept: beyond its
    arguments, memory grows with num_queries x k alone. Of equals, the lower row leads.

    Args:
        queries: float32 [num_queries, dim].
        vectors: float32 [num_vectors, dim], or an iterable of the blocks of rows it
            consists of, in order: a bank that is spread over devices.
        k: neighbors, at most num_vectors.

    Returns:
        (similarities, indices): float32 and int32 [num_queries, k].

    Raises:
        ValueError: where k is more than there are rows.
    """
    blocks = [vectors] if hasattr(vectors, "shape") else vectors
    best = np.empty((len(queries), 0), np.float32)
    indices = np.empty((len(queries), 0), np.int32)
    first_row = 0
    for rows in _chunks(blocks):
        best, indices = _search(queries, rows, best, indices, first_row, k)
        first_row += len(rows)
    if not 1 <= k <= first_row:
        raise ValueError(
            f"`k` must be in [1, {first_row}], the number of rows. Received: {k}."
        )
    return best, indices


def _chunks(blocks):
    for block in blocks:
        for start in range(0, len(block), ROWS_AT_ONCE):
            yield block[start : start + ROWS_AT_ONCE]


def _search(queries, rows, best, indices, first_row, k):
    parts = []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        some = slice(start, start + QUERIES_AT_ONCE)
        # As a tensor: a number would trace the function again for every chunk.
        first = tf.constant(first_row)
        merged = _merge(queries[some], rows, best[some], indices[some], first, k)
        parts.append([part.numpy() for part in merged])
    best, indices = zip(*parts, strict=True)
    return np.concatenate(best), np.concatenate(indices)


@tf.function(reduce_retracing=True)
def _merge(queries, rows, best, indices, start, k):
    similarities = tf.matmul(queries, rows, transpose_b=True)
    found, positions = tf.math.top_k(similarities, tf.minimum(k, tf.shape(rows)[0]))
    best = tf.concat([best, found], axis=1)
    indices = tf.concat([indices, positions + start], axis=1)
    best, chosen = tf.math.top_k(best, tf.minimum(k, tf.shape(best)[1]))
    return best, tf.gather(indices, chosen, batch_dims=1)


def class_scores(similarities, neighbor_labels, num_classes, temperature):
    """Votes of the neighbors, each of weight exp(similarity / temperature).

    similarities: float32 [num_queries, k]; neighbor_labels: int64 of that shape.
    Returns float32 [num_queries, num_classes], in units of a query's strongest vote.
    """
    # The largest similarity is taken off, which leaves the order and cannot overflow.
    strongest = tf.reduce_max(similarities, axis=1, keepdims=True)
    weights = tf.exp((similarities - strongest) / temperature)
    num_queries = tf.shape(similarities)[0]
    first_cells = tf.range(num_queries, dtype=tf.int32)[:, None] * num_classes
    cells = first_cells + tf.cast(neighbor_labels, tf.int32)
    scores = tf.math.unsorted_segment_sum(weights, cells, num_queries * num_classes)
    return tf.reshape(scores, [num_queries, num_classes])


def knn_accuracy(
    queries, query_labels, vectors, labels, k_values=(200,), temperature=0.1
):
    """Accuracy of weighted kNN for several k, from one search.

    Args:
        queries: float32 [num_queries, dim], unit length; query_labels: int64.
        vectors: float32 [num_vectors, dim], unit length; labels: int64.
        k_values: numbers of neighbors.
        temperature: of the votes.

    Returns:
        {k: {"top1": ..., "top5": ...}} in 0..1. A class counts for top-5 only if some
        neighbor voted for it.

    Raises:
        ValueError: where a k is more than there are rows, or labels are missing.
    """
    if query_labels is None or labels is None:
        raise ValueError(MISSING_LABELS)
    similarities, neighbors = nearest(queries, vectors, max(k_values))
    num_classes = int(max(labels.max(), query_labels.max())) + 1
    return {
        k: _accuracy(
            class_scores(
                similarities[:, :k], labels[neighbors[:, :k]], num_classes, temperature
            ),
            query_labels,
        )
        for k in k_values
    }


def _accuracy(scores, query_labels):
    votes, ranked = tf.math.top_k(scores, min(5, scores.shape[1]))
    hits = (ranked.numpy() == query_labels[:, None]) & (votes.numpy() > 0)
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(axis=1).mean())}
