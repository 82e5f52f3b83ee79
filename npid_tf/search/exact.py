"""Exact search among vectors some of which are deleted, by matrix products."""

import numpy as np

QUERIES_AT_ONCE = 256
ROWS_AT_ONCE = 16_384


def most_similar(queries, vectors, is_there, k):
    """The k most similar vectors of each query, the most similar first.

    Like `npid_tf.search.nearest.nearest`, but leaves rows out, reads rows from a file,
    needs no TensorFlow, and touches no setting of the process, so that many threads
    may search at once.

    Args:
        queries: float32 [num_queries, dim].
        vectors: float32 [num_vectors, dim], or `StoredVectors`.
        is_there: bool [num_vectors]; k or more of them.
        k: neighbors, 1 or more.

    Returns:
        (similarities, rows): float32 and int64 [num_queries, k].
    """
    similarities = np.empty([len(queries), k], np.float32)
    rows = np.empty([len(queries), k], np.int64)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        some = slice(start, start + QUERIES_AT_ONCE)
        similarities[some], rows[some] = _search(queries[some], vectors, is_there, k)
    return similarities, rows


def _search(queries, vectors, is_there, k):
    best = np.empty([len(queries), 0], np.float32)
    rows = np.empty([len(queries), 0], np.int64)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        there = np.flatnonzero(is_there[some])
        if not len(there):
            continue
        products = queries @ vectors[some].T
        if len(there) < products.shape[1]:
            products = products[:, there]
        found = np.broadcast_to(start + there, products.shape)
        best, rows = best_of(
            np.concatenate([best, products], axis=1),
            np.concatenate([rows, found], axis=1),
            k,
        )
    return best, rows


def best_of(similarities, rows, k):
    """The k most similar of each line, or all if there are fewer, in order.

    similarities: float32 [num_queries, num_rows]; rows: of that shape. Returns both,
    [num_queries, min(k, num_rows)].
    """
    if k < similarities.shape[1]:
        columns = np.argpartition(-similarities, k - 1, axis=1)[:, :k]
        similarities = np.take_along_axis(similarities, columns, axis=1)
        rows = np.take_along_axis(rows, columns, axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")
    return (
        np.take_along_axis(similarities, order, axis=1),
        np.take_along_axis(rows, order, axis=1),
    )
