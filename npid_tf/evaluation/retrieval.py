"""How well a search finds what belongs to a query: recall@k and mean average precision.

What belongs together has the same label: the class, or the number of an image for
instance retrieval, where a view of an image should find that image.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from npid_tf.checks.vectors_and_labels import check_vectors, checked_labels
from npid_tf.evaluation.knn import check_k
from npid_tf.search.nearest import nearest

# Similarities of a thread, in bytes: those of one query at least.
SIMILARITY_BYTES = 32 << 20


def retrieval_scores(queries, query_labels, vectors, labels, k_values=(1, 5, 10)):
    """Recall@k and mean average precision (mAP) of a search among `vectors`.

    Recall@k is the part of the queries that have a row of their label among the k most
    similar. Average precision is scikit-learn's: the precision at each row of the
    query's label, averaged; rows of equal similarity count as one step. A query
    of whose label there is no row scores 0 in both.

    Args:
        queries: float32 [num_queries, dim], unit length; query_labels: int64.
        vectors: float32 [num_vectors, dim], unit length; labels: int64.
        k_values: of the recall; one of more than num_vectors counts all of them.

    Returns:
        {"recall@1": ..., ..., "mAP": ...}, in 0..1. Beyond the arguments, memory does
        not grow with queries times rows.
    """
    check_k(k_values)
    query_labels = checked_labels(query_labels, "query_labels")
    labels = checked_labels(labels, "labels", least=-1)
    check_vectors(vectors, "vectors", labels)
    check_vectors(queries, "queries", query_labels)
    _, neighbors = nearest(queries, vectors, min(max(k_values), len(vectors)))
    hits = labels[neighbors] == query_labels[:, None]  # [num_queries, k]
    scores = {f"recall@{k}": float(hits[:, :k].any(axis=1).mean()) for k in k_values}
    precisions = average_precisions(queries, query_labels, vectors, labels)
    return {**scores, "mAP": float(precisions.mean())}


def average_precisions(queries, query_labels, vectors, labels):
    """The average precision of each query, float64 [num_queries].

    See `retrieval_scores`.
    """
    check_vectors(vectors, "vectors", labels)
    check_vectors(queries, "queries", query_labels)
    at_once = max(1, SIMILARITY_BYTES // (4 * len(vectors)))
    order = np.argsort(labels, kind="stable")  # Rows of a label, one after the other.
    first = np.searchsorted(labels[order], query_labels, side="left")
    last = np.searchsorted(labels[order], query_labels, side="right")

    def of_some(start):
        some = slice(start, start + at_once)
        similarities = queries[some] @ vectors.T  # [at_once, num_vectors]
        return [
            _average_precision(row, order[begin:end])
            for row, begin, end in zip(
                similarities, first[some], last[some], strict=True
            )
        ]

    # A thread has a matrix product of its own; NumPy sorts on one core.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(of_some, range(0, len(queries), at_once))
        return np.array([value for part in parts for value in part], np.float64)


def _average_precision(similarities, relevant):
    """similarities: float32 [num_vectors]; relevant: rows of the query's label."""
    if not len(relevant):
        return 0.0
    wanted = np.sort(similarities[relevant])
    # NumPy sorts values many times faster than it finds their order.
    similarities = np.sort(similarities)
    # Rows that are at least as similar as each relevant one: relevant ones, and all.
    found = len(wanted) - np.searchsorted(wanted, wanted, side="left")
    seen = len(similarities) - np.searchsorted(similarities, wanted, side="left")
    return float(np.mean(found / seen))
