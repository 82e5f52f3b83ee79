"""Logistic regression on vectors that were computed once.

Ours, and not scikit-learn's `LogisticRegression` after its `StandardScaler`, which hold
copies of all vectors in memory: here they may be on disk, as the features of ImageNet
are, and are read in parts.
"""

import dataclasses
import functools
import sys

import keras
import numpy as np
import scipy.optimize
from scipy.special import log_softmax

from npid_tf.checks.vectors_and_labels import check_vectors, checked_labels
from npid_tf.errors import UserError
from npid_tf.evaluation.accuracy import count_hits

# Penalties that are tried, the strongest first: each starts where the last one ended.
WEIGHT_DECAYS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
HELD_OUT = 0.1  # Part of the training images that the penalty is chosen on.
MAX_ITERATIONS = 200
ROWS_AT_ONCE = 16_384


@dataclasses.dataclass(frozen=True)
class LinearScores:
    """Class scores x @ kernel + bias; kernel: float32 [dim, num_classes]."""

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, vectors):
        return vectors @ self.kernel + self.bias


def sweep(vectors, labels, num_classes, seed=0, weight_decays=WEIGHT_DECAYS):
    """The classifier whose penalty is the best on held-out training rows.

    It is then fitted to all rows. Memory beyond the arguments does not grow with them.

    vectors: float32 [num_vectors, dim], maybe on disk; labels: int64.
    Returns (LinearScores, their weight decay, {weight decay: accuracy held out}).
    Raises ValueError for fewer than two rows, vectors that are not finite, and labels
    that are no class.
    """
    if len(vectors) < 2:
        raise UserError(f"A probe needs 2 images or more. Received: {len(vectors)}.")
    labels = _checked(vectors, labels, num_classes)
    num_held_out = max(1, round(HELD_OUT * len(vectors)))
    is_learned = np.ones(len(vectors), bool)
    held_out = np.random.default_rng(seed).permutation(len(vectors))[:num_held_out]
    is_learned[held_out] = False
    mean, deviation = _moments(vectors)
    minimize = functools.partial(
        _minimize, vectors, labels, num_classes, mean, deviation
    )
    verbose = 1 if sys.stdout.isatty() else 2
    progress = keras.utils.Progbar(len(weight_decays) + 1, verbose=verbose)
    found, held_out_accuracy = {}, {}
    start = None
    for number, weight_decay in enumerate(weight_decays, start=1):
        start = minimize(weight_decay, start, is_learned)
        found[weight_decay] = start
        classifier = _unscaled(start, mean, deviation)
        (held_out_accuracy[weight_decay],) = accuracy(
            classifier, vectors, labels, (1,), ~is_learned
        )
        progress.update(number)
    # Of equals the strongest.
    best = max(weight_decays, key=held_out_accuracy.get)
    weights = minimize(best, found[best])
    progress.update(len(weight_decays) + 1)
    return _unscaled(weights, mean, deviation), best, held_out_accuracy


def fit(vectors, labels, num_classes, weight_decay):
    """Multinomial logistic regression of vectors scaled to mean 0 and deviation 1.

    Minimizes the mean cross-entropy + weight_decay / 2 * the kernel's squared norm,
    which is scikit-learn's LogisticRegression with C = 1 / (weight_decay * rows).
    Arguments and the LinearScores returned are those of `sweep`.
    """
    labels = _checked(vectors, labels, num_classes)
    mean, deviation = _moments(vectors)
    weights = _minimize(vectors, labels, num_classes, mean, deviation, weight_decay)
    return _unscaled(weights, mean, deviation)


def accuracy(classifier, vectors, labels, tops=(1, 5), chosen=None):
    """How often the class is among the first `top` ones, a float for each of `tops`.

    chosen: bool [num_vectors], the rows that count; None: all.
    """
    hits, count = np.zeros(len(tops)), 0
    for some in _blocks(len(vectors)):
        kept = slice(None) if chosen is None else chosen[some]
        scores = classifier(vectors[some][kept])  # [rows, num_classes]
        hits += count_hits(scores, labels[some][kept], tops)
        count += len(scores)
    return [float(hit / count) for hit in hits]


def _minimize(
    vectors, labels, num_classes, mean, deviation, weight_decay, start=None, chosen=None
):
    """The kernel and, below it, the bias on scaled vectors: float64 [dim + 1, classes].

    chosen: bool [num_vectors], the rows that are learned; None: all.
    """
    shape = (vectors.shape[1] + 1, num_classes)
    count = len(vectors) if chosen is None else np.count_nonzero(chosen)

    def objective(flat):
        weights = flat.reshape(shape)
        classifier = _unscaled(weights, mean, deviation)
        loss, gradient = 0.0, np.zeros(shape)
        for some in _blocks(len(vectors)):
            x = vectors[some]
            log_probabilities = log_softmax(classifier(x).astype(np.float64), axis=1)
            here = np.arange(len(x)), labels[some]
            residual = np.exp(log_probabilities)
            residual[here] -= 1  # [rows, num_classes]
            losses = -log_probabilities[here]
            if chosen is not None:
                residual *= chosen[some, None]
                losses *= chosen[some]
            loss += losses.sum()
            gradient[:-1] += x.T @ residual.astype(np.float32)
            gradient[-1] += residual.sum(axis=0)
        # The gradient of the scaled vectors, from that of the vectors as they are.
        gradient[:-1] = (gradient[:-1] - np.outer(mean, gradient[-1])) / deviation[
            :, None
        ]
        gradient /= count
        kernel = weights[:-1]
        gradient[:-1] += weight_decay * kernel
        penalty = weight_decay / 2 * np.sum(np.square(kernel))
        return loss / count + penalty, gradient.ravel()

    found = scipy.optimize.minimize(
        objective,
        np.zeros(shape).ravel() if start is None else start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "gtol": 1e-5, "ftol": 1e-9},
    )
    return found.x.reshape(shape)


def _checked(vectors, labels, num_classes):
    """The labels. Raises ValueError if they or the vectors cannot be learned."""
    check_vectors(vectors, "vectors", labels)
    return checked_labels(labels, "labels", num_classes)


def _unscaled(weights, mean, deviation):
    """The classifier of vectors as they are, from the weights for scaled ones."""
    kernel = weights[:-1] / deviation[:, None]
    return LinearScores(
        kernel.astype(np.float32), (weights[-1] - mean @ kernel).astype(np.float32)
    )


def _moments(vectors):
    """Mean and standard deviation of each dimension, float64; 1 if all are equal."""
    total, squares = np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
    for some in _blocks(len(vectors)):
        total += vectors[some].sum(axis=0, dtype=np.float64)
    mean = total / len(vectors)
    for some in _blocks(len(vectors)):
        squares += np.square(vectors[some] - mean).sum(axis=0)
    deviation = np.sqrt(squares / len(vectors))
    # For float32 features of any scale, anything smaller is rounding.
    is_rounding = deviation <= np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.where(is_rounding, 1.0, deviation)


def _blocks(num_rows):
    return [
        slice(start, start + ROWS_AT_ONCE) for start in range(0, num_rows, ROWS_AT_ONCE)
    ]
