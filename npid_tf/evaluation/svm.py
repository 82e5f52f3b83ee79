"""One-vs-rest linear SVMs, as the field's VOC07 protocol (Goyal et al. 2019)."""

import sys
import warnings

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

COSTS = (1.0, 10.0, 100.0, *(0.5**exponent for exponent in range(4, 20)))
FOLDS = 3


def one_vs_rest(labels, num_classes):
    """1 for the class of each image, 0 for the others: int8 [num_images, classes]."""
    return (labels[:, None] == np.arange(num_classes)).astype(np.int8)


def unit(vectors):
    """float64 [num_vectors, dim], of length 1 (with the original's 1e-5)."""
    norms = np.linalg.norm(np.asarray(vectors, np.float64), axis=1, keepdims=True)
    return vectors / (norms + 1e-5)


def fit_svm(vectors, target, cost):
    """A LinearSVC of one class; target: 1 where it is, 0 or -1 where not."""
    with warnings.catch_warnings():
        # At large costs 2,000 iterations are too few, in the original as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _svc(cost).fit(vectors, _signs(target))


def cross_validated(vectors, target, cost, folds=FOLDS):
    """Mean average precision over `folds` parts, each judged by the others' SVM.

    Raises ValueError where a part would lack positive or negative images.
    """
    signs = _signs(target)
    if min((signs == 1).sum(), (signs == -1).sum()) < folds:
        raise ValueError(
            f"{folds}-fold cross-validation needs {folds} images with and without each "
            f"class. Received: {(signs == 1).sum()} with one, {(signs == -1).sum()} "
            "without."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(
            _svc(cost), vectors, signs, cv=folds, scoring="average_precision"
        )
    return float(scores.mean())


def fit_svms(vectors, targets, costs=COSTS):
    """An SVM a class, its cost by cross-validation.

    vectors: float64 [num_images, dim], see `unit`; targets: [num_images, num_classes],
    1, 0 or -1 (difficult: learned as 0). Returns a list of (SVM, cost).
    """
    num_classes = targets.shape[1]
    verbose = 1 if sys.stdout.isatty() else 2
    progress = keras.utils.Progbar(num_classes, verbose=verbose, unit_name="class")
    found = []
    for number, target in enumerate(targets.T, start=1):
        scores = {cost: cross_validated(vectors, target, cost) for cost in costs}
        cost = max(costs, key=scores.get)
        found.append((fit_svm(vectors, target, cost), cost))
        progress.update(number)
    return found


def class_scores(svms, vectors):
    """float64 [num_images, num_classes]."""
    return np.stack([svm.decision_function(vectors) for svm in svms], axis=1)


def mean_average_precision(scores, targets):
    """Mean over the classes of the area below precision and recall, interpolated.

    Of each class, the images whose target is -1 (difficult) do not count; classes that
    no image has are left out.
    """
    precisions = [
        average_precision(score[target != -1], target[target != -1])
        for score, target in zip(scores.T, targets.T, strict=True)
        if (target == 1).any()
    ]
    return float(np.mean(precisions))


def average_precision(scores, target):
    """VOC's: precision at each recall is the largest at that recall or beyond."""
    is_positive = target[np.argsort(-scores, kind="stable")] == 1
    precision = np.cumsum(is_positive) / np.arange(1, len(target) + 1)
    best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_beyond[is_positive].mean())


def _svc(cost):
    return LinearSVC(
        C=cost,
        class_weight={1: 2, -1: 1},
        tol=1e-4,
        max_iter=2000,
        dual=True,
        random_state=0,
    )


def _signs(target):
    return np.where(target == 1, 1, -1)
