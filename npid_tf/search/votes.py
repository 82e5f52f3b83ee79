"""Votes of the neighbors of an image (Wu et al. 2018, section 3.4)."""

import tensorflow as tf

from npid_tf.checks.arguments import positive_number
from npid_tf.checks.vectors_and_labels import checked_labels
from npid_tf.errors import UserError


def class_scores(similarities, neighbor_labels, num_classes, temperature):
    """Votes of the neighbors, each of weight exp(similarity / temperature).

    A label of -1 means no label, a similarity that is not finite no neighbor: neither
    votes.

    similarities: float32 [num_queries, k]; neighbor_labels: int64 of that shape.
    Returns float32 [num_queries, num_classes], in units of a query's strongest vote.
    Raises ValueError if they differ in shape, for labels that are no class, and a
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
