"""Weighted k-nearest-neighbor classification (Wu et al. 2018, section 3.4)."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from npid_tf.checks.arguments import positive_number, whole_number
from npid_tf.checks.vectors_and_labels import checked_labels, dense_labels
from npid_tf.errors import UserError
from npid_tf.search.nearest import nearest
from npid_tf.search.votes import class_scores

QUERIES_AT_ONCE = 256  # A vote has as many numbers as there are classes.
MISSING_LABELS = (
    "kNN needs labels of the training images and of the evaluated ones. Labels come "
    "with digits and tfds, with folder:DIR where each class is a sub-folder, and with "
    "`labels` in npz:FILE."
)


def knn_accuracy(
    queries: ArrayLike,
    query_labels: ArrayLike | None,
    vectors: ArrayLike | Iterable[np.ndarray],
    labels: ArrayLike | None,
    k_values: Sequence[int] = (200,),
    *,
    temperature: float = 0.1,
) -> dict[int, dict[str, float]]:
    """Accuracy of weighted kNN for several k, from one search.

    Each of the k nearest neighbors of a query votes for its class with the weight
    exp(similarity / temperature).

    Args:
        queries: float32 [num_queries, dim], unit length.
        query_labels: int64 [num_queries].
        vectors: float32 [num_vectors, dim], unit length, or blocks of its rows, as
            `MemoryBank.blocks` gives them.
        labels: int64 [num_vectors], -1 of rows without one: they do not vote.
        k_values: numbers of neighbors.
        temperature: of the votes.

    Returns:
        {k: {"top1": ..., "top5": ...}} in 0..1. A class counts for top-5 only if some
        neighbor voted for it.

    Raises:
        ValueError: for arrays that do not fit one another, if a k is more than there
            are rows, or labels are missing.

    Source: Wu et al. 2018, section 3.4.

    Example:

    >>> import numpy as np
    >>> from npid_tf import knn_accuracy
    >>> vectors = np.float32([[1, 0], [0.8, 0.6], [0, 1]])
    >>> queries = np.float32([[0.6, 0.8], [1, 0]])
    >>> labels = [0, 1, 1]
    >>> knn_accuracy(queries, [1, 1], vectors, labels, k_values=[1, 3], temperature=1)
    {1: {'top1': 0.5, 'top5': 0.5}, 3: {'top1': 1.0, 'top5': 1.0}}
    """
    if query_labels is None or labels is None:
        raise UserError(MISSING_LABELS)
    query_labels = checked_labels(query_labels, "query_labels")
    labels = checked_labels(labels, "labels", least=-1)
    temperature = positive_number("temperature", temperature)
    check_k(k_values)
    queries = np.asarray(queries)
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
    if not isinstance(k_values, Iterable) or isinstance(k_values, str):
        raise UserError(
            "`k_values` must be whole numbers of neighbors, as [20, 200]. Received: "
            f"{k_values!r}."
        )
    if not len(k_values):
        raise UserError("`k_values` must hold a number of neighbors. Received: none.")
    for k in k_values:
        whole_number("k", k, 1)


def _as_many_as(vectors, labels):
    """The blocks of vectors, counted: there must be a label for each row."""
    count = 0
    for block in [vectors] if hasattr(vectors, "shape") else vectors:
        block = np.asarray(block)
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
