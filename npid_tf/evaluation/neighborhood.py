"""From the neighbors of embeddings: hubs, near duplicates, leaks, confusions."""

import numpy as np
from scipy import stats

from npid_tf.checks.vectors_and_labels import checked_labels, dense_labels
from npid_tf.errors import UserError
from npid_tf.search.votes import class_scores

QUERIES_AT_ONCE = 256


def k_occurrences(neighbors, num_rows):
    """N_k: among the k neighbors of how many each row is, int64 [num_rows].

    neighbors: int32 [num_queries, k].
    """
    return np.bincount(neighbors.reshape(-1), minlength=num_rows)


def hubness(occurrences):
    """Skewness of k-occurrences (Radovanovic et al. 2010): 0 if all occur alike."""
    return 0.0 if np.ptp(occurrences) == 0 else float(stats.skew(occurrences))


def similar_pairs(similarities, neighbors):
    """All pairs of a query and one of its neighbors, the most similar first.

    similarities, neighbors: [num_queries, k]. Returns (queries, rows, similarities),
    each [num_queries x k]; equals keep their order.
    """
    order = np.argsort(-similarities, axis=None, kind="stable")
    rows, values = neighbors.reshape(-1)[order], similarities.reshape(-1)[order]
    return order // neighbors.shape[1], rows, values


def without_mirrored(queries, rows, similarities):
    """Pairs of `similar_pairs` within one set of rows, each pair once, lower row first.

    Takes and returns (queries, rows, similarities), each [num_pairs].
    """
    low = np.minimum(queries, rows).astype(np.int64)
    high = np.maximum(queries, rows).astype(np.int64)
    # One number for each pair: rows of two are sorted many times more slowly.
    _, first = np.unique((low << 32) | high, return_index=True)
    first.sort()  # The order of similarity.
    return low[first], high[first], similarities[first]


def vote(similarities, neighbors, labels, temperature):
    """The class that weighted kNN gives each query: int64 [num_queries].

    similarities, neighbors: [num_queries, k]; labels: int64, of the rows;
    temperature: of the votes, see `knn.class_scores`.
    """
    classes, (labels,) = dense_labels(checked_labels(labels, "labels", least=-1))
    if not len(classes):
        raise UserError("`labels` must hold a class. Received: none but -1.")
    votes = [
        class_scores(
            similarities[start : start + QUERIES_AT_ONCE],
            labels[neighbors[start : start + QUERIES_AT_ONCE]],
            len(classes),
            temperature,
        )
        .numpy()
        .argmax(axis=1)
        for start in range(0, len(neighbors), QUERIES_AT_ONCE)
    ]
    return classes[np.concatenate(votes)]
