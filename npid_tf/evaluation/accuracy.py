"""Top-1 and top-5 accuracy of class scores.

Ours, and not scikit-learn's `top_k_accuracy_score`: that one needs all scores at once
and lets the higher of equal classes lead, so that a network whose scores are all equal
would be right about the last class. Here the lower class leads, as in `argmax`.
"""

import numpy as np

from npid_tf.encoders.embed import check_indices, embed_batches


def count_hits(scores, labels, tops):
    """How many rows have their class among the first `top`, an int for each of `tops`.

    scores: [num_rows, num_classes]; labels: int64 [num_rows]. Of equals the lower class
    leads.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    is_lower = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & is_lower)).sum(axis=1)
    return np.array([np.count_nonzero(rank < top) for top in tops])


def network_accuracy(network, dataset, labels, tops=(1, 5)):
    """What part of the images a network classifies: [num_heads, len(tops)] floats.

    network: model from images to the scores of one head or several, [batch,
    num_classes] each; dataset: of (images, indices); labels: int64, of all images.
    """
    hits, is_new = 0, np.ones(len(labels), bool)
    for indices, outputs in embed_batches(network, dataset, len(labels)):
        check_indices(indices, len(labels))
        indices, rows = np.unique(indices, return_index=True)
        rows, indices = rows[is_new[indices]], indices[is_new[indices]]
        is_new[indices] = False
        hits = hits + np.stack(
            [count_hits(scores[rows], labels[indices], tops) for scores in outputs]
        )
    return hits / len(labels)
