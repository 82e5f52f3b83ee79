"""Weighted k-nearest-neighbor classification (Wu et al. 2018, section 3.4)."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from npid_tf.errors import UserError
from npid_tf.errors.arguments import positive_number, whole_number
from npid_tf.evaluation.inputs import checked_labels, dense_labels
from npid_tf.search.nearest_on_devices import gpus, nearest_of_each

# The similarities of a thread, in bytes: 4 x the product of the two. A power of two
# for the second makes the matrix product slower, its rows then share cache lines.
QUERIES_AT_ONCE = 256
ROWS_AT_ONCE = 25_000
MISSING_LABELS = (
    "kNN needs labels of the training images and of the evaluated ones. Labels come "
    "with digits and tfds, with folder:DIR where each class is a sub-folder, and with "
    "`labels` in npz:FILE."
)


def nearest(queries, vectors, k):
    """The k most similar rows of each query, exactly, the most similar first.

    Rows are read once, in chunks, and only the best k so far are kept: beyond its
    arguments, memory grows with num_queries x k alone. Of equals, the lower row leads.
    All GPUs are used, in TensorFlow; where there are none all cores, in NumPy, which is
    faster there.

    Args:
        queries: float32 [num_queries, dim].
        vectors: float32 [num_vectors, dim], or an iterable of the blocks of rows it
            consists of, in order: a bank that is spread over devices.
        k: neighbors, at most num_vectors.

    Returns:
        (similarities, indices): float32 and int32 [num_queries, k].

    Raises:
        ValueError: where k is more than there are rows, or a number is not finite.
    """
    k = whole_number("k", k, 1)
    queries = _finite(queries, "queries")
    devices = gpus()
    if devices:
        found = nearest_of_each(queries, _chunks(vectors), k, devices)
        similarities, rows, num_rows = found
        best = _pack(similarities, rows)
    else:
        best, num_rows = _nearest_on_cores(queries, vectors, k)
    if k > num_rows:
        raise UserError(f"`k` must be at most the {num_rows} rows. Received: {k}.")
    best.sort(axis=1)
    return _unpack(best[:, ::-1][:, :k])


def _nearest_on_cores(queries, vectors, k):
    """Keys of the k most similar rows, int64 [num_queries, k], in no order, and the
    number of all rows."""
    best = np.full([len(queries), k], WORST)
    num_rows = 0
    a_core = -(-len(queries) // os.cpu_count())
    at_once = min(QUERIES_AT_ONCE, max(1, a_core))

    def search(start):
        some = slice(start, start + at_once)
        _keep_best(best[some], queries[some], rows, num_rows)

    # A thread has a matrix product of its own: NumPy's other functions use one core.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        for rows in _chunks(vectors):
            for _ in pool.map(search, range(0, len(queries), at_once)):
                pass  # Raises what was raised in a thread.
            num_rows += len(rows)
    return best, num_rows


def _finite(array, name):
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"`{name}` must be finite. Received NaN or infinity.")
    return array


def _chunks(vectors):
    for block in [vectors] if hasattr(vectors, "shape") else vectors:
        for start in range(0, len(block), ROWS_AT_ONCE):
            yield _finite(block[start : start + ROWS_AT_ONCE], "vectors")


def _pack(similarities, rows):
    """int64 keys in the order of the similarities and, of equals, lower rows first."""
    bits = (similarities + np.float32(0)).view(np.int32)  # + 0: -0.0 equals 0.0
    # The bits of negative floats, as an integer, grow as the float falls.
    bits ^= (bits >> 31) & np.int32(LAST_ROW)
    return (bits.astype(np.int64) << 32) | (LAST_ROW - rows)


def _unpack(keys):
    """Similarities, float32, and rows, int32, of keys."""
    bits = (keys >> 32).astype(np.int32)
    bits ^= (bits >> 31) & np.int32(LAST_ROW)
    return bits.view(np.float32), (LAST_ROW - (keys & LAST_ROW)).astype(np.int32)


LAST_ROW = 2**31 - 1
WORST = _pack(np.float32([-np.inf]), LAST_ROW)


def _keep_best(best, queries, rows, first_row):
    """Exchanges keys in `best` for those of rows that are more similar.

    best: int64 [queries, k], of `_pack`, in no order; queries: [queries, dim];
    rows: [rows, dim], the first of which is row `first_row`.
    """
    k = best.shape[1]
    similarities = queries @ rows.T  # [queries, rows]
    # Nearly all rows fall below the k-th best so far: to look for those that do not
    # costs a fraction of any selection among all.
    threshold, _ = _unpack(best.min(axis=1))  # [queries]
    few = 8 * best.size
    is_candidate = similarities > threshold[:, None]
    if np.count_nonzero(is_candidate) > few:
        # The first rows, or nearer than all before: among themselves they are sieved.
        threshold = np.maximum(threshold, _bound(similarities, k))
        is_candidate = similarities > threshold[:, None]
    if np.count_nonzero(is_candidate) > few and len(rows) > 1:
        # Many are equal: after a half of them, the other half is no better.
        half = len(rows) // 2
        _keep_best(best, queries, rows[:half], first_row)
        _keep_best(best, queries, rows[half:], first_row + half)
        return
    found = np.flatnonzero(is_candidate)
    query, row = np.divmod(found, len(rows))
    counts = np.bincount(query, minlength=len(queries))
    column = np.arange(len(found)) - (np.cumsum(counts) - counts)[query]
    keys = np.full([len(queries), k + counts.max()], WORST)
    keys[:, :k] = best
    keys[query, k + column] = _pack(similarities.reshape(-1)[found], first_row + row)
    best[:] = np.partition(keys, -k, axis=1)[:, -k:]


def _bound(similarities, k):
    """What at least k similarities of each query exceed: float32 [queries].

    The k-th largest of the largest of each of many groups, which is little below the
    k-th largest of all and found many times faster.
    """
    num_rows = similarities.shape[1]
    num_groups = min(num_rows, max(4 * k, 1024))  # fewer are slow: NumPy's inner loop
    if num_groups < k:
        return np.full(len(similarities), -np.inf, np.float32)
    size = num_rows // num_groups
    groups = similarities[:, : size * num_groups].reshape(-1, size, num_groups)
    largest = np.partition(groups.max(axis=1), -k, axis=1)[:, -k]
    return np.nextafter(largest, np.float32(-np.inf))


def class_scores(similarities, neighbor_labels, num_classes, temperature):
    """Votes of the neighbors, each of weight exp(similarity / temperature).

    A label of -1 is none, and a similarity that is not finite is of no neighbor: those
    do not vote.

    similarities: float32 [num_queries, k]; neighbor_labels: int64 of that shape.
    Returns float32 [num_queries, num_classes], in units of a query's strongest vote.
    Raises ValueError where they differ in shape, for labels that are no class, and a
    temperature that is not above 0.
    """
    temperature = positive_number("temperature", temperature)
    similarities = tf.cast(similarities, tf.float32)
    labels = tf.convert_to_tensor(neighbor_labels)
    if similarities.shape.rank != 2 or not labels.shape.is_compatible_with(
        similarities.shape
    ):
        raise UserError(
            "`similarities` and `neighbor_labels` must be [num_queries, k]. Received: "
            f"{similarities.shape} and {labels.shape}."
        )
    if tf.executing_eagerly():  # In a graph, such as an export's, none of them votes.
        checked_labels(labels.numpy().reshape(-1), "neighbor_labels", num_classes, -1)
    labels = tf.cast(labels, tf.int64)
    votes = (labels >= 0) & (labels < num_classes) & tf.math.is_finite(similarities)
    similarities = tf.where(votes, similarities, float("-inf"))
    # The largest similarity is taken off, which leaves the order and cannot overflow.
    strongest = tf.reduce_max(similarities, axis=1, keepdims=True)
    strongest = tf.where(tf.math.is_finite(strongest), strongest, 0.0)
    weights = tf.exp((similarities - strongest) / temperature)
    num_queries = tf.shape(similarities)[0]
    # int64: a GPU computes with int32 on the host.
    first_cells = tf.range(num_queries, dtype=tf.int64)[:, None] * num_classes
    cells = tf.where(votes, first_cells + labels, -1)  # -1 counts nowhere.
    scores = tf.math.unsorted_segment_sum(weights, cells, num_queries * num_classes)
    return tf.reshape(scores, [num_queries, num_classes])


def knn_accuracy(
    queries, query_labels, vectors, labels, k_values=(200,), temperature=0.1
):
    """Accuracy of weighted kNN for several k, from one search.

    Args:
        queries: float32 [num_queries, dim], unit length; query_labels: int64.
        vectors: float32 [num_vectors, dim], unit length, or blocks of its rows, see
            `nearest`; labels: int64, of all rows, -1 of those without one: they do not
            vote.
        k_values: numbers of neighbors.
        temperature: of the votes.

    Returns:
        {k: {"top1": ..., "top5": ...}} in 0..1. A class counts for top-5 only if some
        neighbor voted for it.

    Raises:
        ValueError: where a k is more than there are rows, or labels are missing.
    """
    if query_labels is None or labels is None:
        raise UserError(MISSING_LABELS)
    query_labels = checked_labels(query_labels, "query_labels")
    labels = checked_labels(labels, "labels", least=-1)
    temperature = positive_number("temperature", temperature)
    check_k(k_values)
    if len(query_labels) != len(queries):
        raise UserError(
            "`queries` must have a label each. Received: "
            f"{len(queries)} queries, {len(query_labels)} labels."
        )
    similarities, neighbors = nearest(
        queries, _as_many_as(vectors, labels), max(k_values)
    )
    classes, (labels, query_labels) = dense_labels(labels, query_labels)
    num_classes = len(classes)

    def accuracy(k):
        hits = []
        # A few queries at once: a vote has num_classes numbers.
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            some = slice(start, start + QUERIES_AT_ONCE)
            scores = class_scores(
                similarities[some, :k],
                labels[neighbors[some, :k]],
                num_classes,
                temperature,
            )
            hits.append(_hits(scores, query_labels[some]))
        first, any_of_five = np.concatenate(hits).mean(axis=0)
        return {"top1": float(first), "top5": float(any_of_five)}

    return {k: accuracy(k) for k in k_values}


def check_k(k_values):
    """Raises ValueError unless there is a k, each a whole number of neighbors."""
    if not len(k_values):
        raise UserError("`k_values` must hold a number of neighbors. Received: none.")
    for k in k_values:
        whole_number("k", k, 1)


def _as_many_as(vectors, labels):
    """The blocks of vectors, counted: there must be a label for each row."""
    count = 0
    for block in [vectors] if hasattr(vectors, "shape") else vectors:
        count += len(block)
        yield block
    if count != len(labels):
        raise UserError(
            f"`vectors` must have a label each. Received: {count} vectors, "
            f"{len(labels)} labels."
        )


def _hits(scores, query_labels):
    """Whether the class is the first, and among the first five: bool [queries, 2]."""
    votes, ranked = tf.math.top_k(scores, min(5, scores.shape[1]))
    hits = (ranked.numpy() == query_labels[:, None]) & (votes.numpy() > 0)
    return np.stack([hits[:, 0], hits.any(axis=1)], axis=1)
