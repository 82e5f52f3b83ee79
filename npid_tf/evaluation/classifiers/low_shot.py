"""Low-shot SVMs: k labelled images of a class, drawn several times."""

import sys

import keras
import numpy as np

from npid_tf.checks.arguments import whole_number
from npid_tf.checks.vectors_and_labels import check_vectors
from npid_tf.errors import UserError
from npid_tf.evaluation.classifiers.svm import (
    COSTS,
    FOLDS,
    class_scores,
    cross_validated,
    fit_svm,
)

NUM_DRAWS = 5
# One image of a class cannot be divided: there LIBLINEAR's default is taken.
COST_OF_ONE_SHOT = 1.0


def low_shot(
    vectors,
    targets,
    eval_vectors,
    judge,
    shots,
    choose_cost="cv",
    seed=0,
    num_draws=NUM_DRAWS,
    costs=COSTS,
):
    """Scores of one-vs-rest SVMs that learn from k images of each class.

    Args:
        vectors: float64 [num_images, dim], unit length; targets: as in `fit_svms`.
        eval_vectors: float64 [num_eval_images, dim], unit length.
        judge: from class scores [num_eval_images, num_classes] to a number.
        shots: the values of k.
        choose_cost: `cv`, each draw's by cross-validation on the draw, or `test`, the
            one with the best mean score of all draws: the original's, which looks at
            the evaluation images.
        seed: of the draws.

    Returns:
        {k: {"mean", "min", "max", "std": of the draws' scores, "costs": a list}}.

    Raises:
        ValueError: if a class has fewer than k images, or for an unknown choice.
    """
    if choose_cost not in ("cv", "test"):
        raise UserError(f"Unknown lowshot_cost {choose_cost!r}. Known: cv, test.")
    check_vectors(vectors, "vectors", targets)
    check_vectors(eval_vectors, "eval_vectors")
    for k in shots:
        whole_number("k", k, 1)
        _check_enough(targets, k)
    verbose = 1 if sys.stdout.isatty() else 2
    progress = keras.utils.Progbar(len(shots) * num_draws, verbose=verbose)

    def judged(drawn, cost):
        svms = [fit_svm(vectors[rows], target, cost) for rows, target in drawn]
        return judge(class_scores(svms, eval_vectors))

    results = {}
    for number, k in enumerate(shots):
        draws = [
            draw(targets, k, np.random.default_rng([seed, k, sample]))
            for sample in range(num_draws)
        ]
        scores, chosen = [], []  # of each draw
        for sample, drawn in enumerate(draws):
            if choose_cost == "cv":
                cost = _choose_cost(vectors, drawn, k, costs)
                chosen.append(cost)
                scores.append(judged(drawn, cost))
            else:
                scores.append([judged(drawn, cost) for cost in costs])
            progress.update(number * num_draws + sample + 1)
        if choose_cost == "test":
            best = int(np.argmax(np.mean(scores, axis=0)))
            scores, chosen = [row[best] for row in scores], [costs[best]] * num_draws
        results[k] = {
            "mean": float(np.mean(scores)),
            "min": float(np.min(scores)),
            "max": float(np.max(scores)),
            "std": float(np.std(scores)),
            "costs": chosen,
        }
    return results


def draw(targets, k, random):
    """k images with each class and k times the other classes' number without it.

    If every image has one class, the k of each class are drawn once and the others'
    are the images without it; else each class draws both. Difficult images (-1) are
    not drawn. Returns a list of (rows, their target), one a class.
    """
    num_classes = targets.shape[1]
    if (np.abs(targets).sum(axis=1) == 1).all() and (targets >= 0).all():
        rows = np.concatenate([_choose(random, target == 1, k) for target in targets.T])
        return [(rows, target[rows]) for target in targets.T]
    drawn = []
    for target in targets.T:
        rows = np.concatenate(
            [
                _choose(random, target == 1, k),
                _choose(random, target == 0, k * (num_classes - 1)),
            ]
        )
        drawn.append((rows, target[rows]))
    return drawn


def _choose(random, is_candidate, count):
    # All negatives, if there are fewer.
    candidates = np.flatnonzero(is_candidate)
    return random.choice(candidates, min(count, len(candidates)), replace=False)


def _check_enough(targets, k):
    fewest = int((targets == 1).sum(axis=0).min())
    if not 1 <= k <= fewest:
        raise UserError(
            f"`shots` must be in [1, {fewest}], the images of the rarest class. "
            f"Received: {k}."
        )


def _choose_cost(vectors, drawn, k, costs):
    if k == 1:
        return COST_OF_ONE_SHOT
    folds = min(FOLDS, k)

    def score(cost):
        return np.mean(
            [cross_validated(vectors[rows], target, cost, folds)
             for rows, target in drawn]
        )  # fmt: skip

    return max(costs, key=score)
