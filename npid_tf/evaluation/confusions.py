"""Which classes are taken for which, for any number of classes.

Recall is scikit-learn's. Confusions are counted here, class by class: its
`confusion_matrix` is dense, 4 GB for the 22,000 classes of ImageNet-21k.
"""

import numpy as np
from sklearn.metrics import recall_score

from npid_tf.checks.vectors_and_labels import checked_labels


def worst_classes(labels, predicted, num_classes):
    """The classes that are recognized least, the worst first.

    labels, predicted: int64 [num_images], the true classes and the predicted ones; of
    equals the lower class leads. Returns a list of at most num_classes tuples (class,
    images, recall, the other class it is most often taken for, how often); the last two
    are None and 0 if all images of a class are right.
    """
    labels = checked_labels(labels, "labels")
    predicted = checked_labels(predicted, "predicted")
    present, images = np.unique(labels, return_counts=True)
    recalls = recall_score(labels, predicted, labels=present, average=None)
    rows = []
    for row in np.argsort(recalls, kind="stable")[:num_classes]:
        label = int(present[row])
        others = predicted[(labels == label) & (predicted != label)]
        other, times = None, 0
        if len(others):
            found, counts = np.unique(others, return_counts=True)
            other, times = int(found[counts.argmax()]), int(counts.max())
        rows.append((label, int(images[row]), float(recalls[row]), other, times))
    return rows
