"""The worst classes are those of scikit-learn's confusion matrix."""

import numpy as np
from sklearn.metrics import confusion_matrix

from npid_tf.evaluation.confusions import worst_classes


def test_they_agree_with_the_confusion_matrix():
    random = np.random.default_rng(0)
    labels = random.integers(0, 6, 400)
    predicted = np.where(random.random(400) < 0.6, labels, random.integers(0, 6, 400))
    matrix = confusion_matrix(labels, predicted)
    recalls = matrix.diagonal() / matrix.sum(axis=1)
    rows = worst_classes(labels, predicted, num_classes=4)
    assert [row[0] for row in rows] == np.argsort(recalls, kind="stable")[:4].tolist()
    np.fill_diagonal(matrix, 0)
    for label, images, recall, other, times in rows:
        assert images == (labels == label).sum()
        assert recall == recalls[label]
        assert (other, times) == (matrix[label].argmax(), matrix[label].max())


def test_a_class_all_right_is_taken_for_none_and_absent_classes_are_left_out():
    labels, predicted = np.array([5, 5, 2]), np.array([5, 5, 9])
    assert worst_classes(labels, predicted, 10) == [(2, 1, 0, 9, 1), (5, 2, 1, None, 0)]


def test_a_million_classes_need_no_matrix():
    labels = np.arange(0, 1_000_000, 1000)
    rows = worst_classes(labels, labels[::-1], 2)
    assert rows == [(0, 1, 0, 999_000, 1), (1000, 1, 0, 998_000, 1)]
