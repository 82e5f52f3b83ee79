"""Which classes are taken for which, for any number of classes."""

import numpy as np

from npid_tf.checks.vectors_and_labels import checked_labels, dense_labels


def worst_classes(labels, predicted, num_classes):
    """The classes that are recognized least, the worst first.

    labels, predicted: int64 [num_images], the true classes and those told; of equals
    the lower class leads. Returns a list of at most num_classes tuples (class, images,
    recall, the other class it is most often taken for, how often); the last two are
    None and 0 where all images of a class are right.
    """
    classes, (labels, predicted) = dense_labels(
        checked_labels(labels, "labels"), checked_labels(predicted, "predicted")
    )
    is_right = labels == predicted
    images = np.bincount(labels)
    right = np.bincount(labels[is_right], minlength=len(images))
    wrong, counts = np.unique(
        np.stack([labels[~is_right], predicted[~is_right]], axis=1),
        axis=0,
        return_counts=True,
    )
    present = np.flatnonzero(images)
    order = np.argsort(right[present] / images[present], kind="stable")
    rows = []
    for label in present[order[:num_classes]].tolist():
        mine = np.flatnonzero(wrong[:, 0] == label)
        other, times = None, 0
        if len(mine):
            most = mine[counts[mine].argmax()]
            other, times = int(classes[wrong[most, 1]]), int(counts[most])
        recall = float(right[label] / images[label])
        rows.append((int(classes[label]), int(images[label]), recall, other, times))
    return rows
