"""One-vs-rest linear SVMs, as the field's VOC07 protocol (Goyal et al. 2019)."""

import contextlib
import sys
import warnings

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import LinearSVC

from npid_tf.checks.vectors_and_labels import check_vectors, checked_labels
from npid_tf.errors import UserError

COSTS = (1.0, 10.0, 100.0, *(0.5**exponent for exponent in range(4, 20)))
FOLDS = 3
# Numbers in the vectors from which on processes are worth their start.
LARGE = 1_000_000


def one_vs_rest(labels, num_classes):
    """1 for the class of each image, 0 for the others: int8 [num_images, classes].

    Raises ValueError for labels that are no class.
    """
    labels = checked_labels(labels, "labels", num_classes)
    # Not `label_binarize`: it has one column, not two, for two classes.
    return (labels[:, None] == np.arange(num_classes)).astype(np.int8)


def unit(vectors):
    """float64 [num_vectors, dim], of length 1 (with the original's 1e-5, of the longest
    if that is shorter than 1).

    Raises ValueError if they are not finite.
    """
    # Not scikit-learn's `normalize`: it takes lengths below 2e-15 for zero.
    check_vectors(np.asarray(vectors), "vectors")
    norms = np.linalg.norm(np.asarray(vectors, np.float64), axis=1, keepdims=True)
    longest = min(1.0, norms.max(initial=0.0)) or 1.0
    return vectors / (norms + 1e-5 * longest)


def fit_svm(vectors, target, cost):
    """A LinearSVC of one class; target: 1 if it is, 0 or -1 if not."""
    check_vectors(vectors, "vectors", target)
    with _without_convergence_warnings():
        return _svc().set_params(C=cost).fit(vectors, _signs(target))


def cross_validated(vectors, target, cost, folds=FOLDS):
    """Mean average precision over `folds` parts, each scored by the others' SVM.

    Raises ValueError if a part would lack positive or negative images.
    """
    check_vectors(vectors, "vectors", target)
    signs = _signs(target)
    _check_enough(signs, folds)
    svc = _svc().set_params(C=cost)
    with _without_convergence_warnings():
        scores = cross_val_score(
            svc, vectors, signs, cv=folds, scoring="average_precision"
        )
    return float(scores.mean())


def fit_svms(vectors, targets, costs=COSTS):
    """An SVM a class, its cost by cross-validation.

    vectors: float64 [num_images, dim], see `unit`; targets: [num_images, num_classes],
    1, 0 or -1 (difficult: learned as 0). Returns a list of (SVM, cost).
    """
    check_vectors(vectors, "vectors", targets)
    num_classes = targets.shape[1]
    verbose = 1 if sys.stdout.isatty() else 2
    progress = keras.utils.Progbar(num_classes, verbose=verbose, unit_name="class")
    found = []
    for number, target in enumerate(targets.T, start=1):
        signs = _signs(target)
        _check_enough(signs, FOLDS)
        search = GridSearchCV(
            _svc(),
            {"C": costs},
            scoring="average_precision",
            cv=FOLDS,
            n_jobs=-1 if vectors.size >= LARGE else None,
        )
        with _without_convergence_warnings():
            search.fit(vectors, signs)
        found.append((search.best_estimator_, search.best_params_["C"]))
        progress.update(number)
    return found


def class_scores(svms, vectors):
    """float64 [num_images, num_classes].

    Raises ValueError if vectors are not finite, or `svms` is empty.
    """
    check_vectors(vectors, "vectors")
    if not len(svms):
        raise UserError("Scores need an SVM for each class. Received: none.")
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


def _check_enough(signs, folds):
    num_with, num_without = (signs == 1).sum(), (signs == -1).sum()
    if min(num_with, num_without) < folds:
        raise UserError(
            f"{folds}-fold cross-validation needs {folds} images with and without each "
            f"class. Received: {num_with} with one, {num_without} without."
        )


@contextlib.contextmanager
def _without_convergence_warnings():
    # In the dual 2,000 iterations are too few at large costs, in the original as well.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _svc():
    return LinearSVC(
        class_weight={1: 2, -1: 1},
        tol=1e-4,
        max_iter=2000,
        # The original's dual, unless images outnumber dimensions: there the primal has
        # the same solution, and reaches it at every cost in a fraction of the time.
        dual="auto",
        random_state=0,
    )


def _signs(target):
    return np.where(target == 1, 1, -1)
