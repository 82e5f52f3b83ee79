"""SVMs against scikit-learn's own search, VOC's average precision, and toy data."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from npid_tf.evaluation.classifiers import svm
from npid_tf.evaluation.classifiers.svm import (
    COSTS,
    average_precision,
    class_scores,
    cross_validated,
    fit_svms,
    mean_average_precision,
    one_vs_rest,
    unit,
)


def clusters(num_vectors, noise, seed):
    random = np.random.default_rng(0)
    centers = random.standard_normal([3, 8])
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num_vectors)
    return centers[labels] + noise * random.standard_normal([num_vectors, 8]), labels


def test_the_costs_are_the_published_19():
    assert len(COSTS) == 19
    assert COSTS[:4] == (1, 10, 100, 0.0625) and COSTS[-1] == 0.5**19


def test_cost_and_decisions_are_those_of_scikit_learn_one_fit_at_a_time():
    vectors, labels = clusters(120, noise=1.0, seed=0)
    vectors, targets = unit(vectors), one_vs_rest(labels, 3)
    costs = (0.01, 1.0, 100.0)
    found = fit_svms(vectors, targets, costs)
    for number, (found_svm, cost) in enumerate(found):
        is_class = labels == number
        peers = {
            cost: LinearSVC(C=cost, class_weight={True: 2, False: 1}, random_state=0)
            for cost in costs
        }
        scores = {cost: [] for cost in costs}
        for learned, judged in StratifiedKFold(3).split(vectors, is_class):
            for tried, peer in peers.items():
                peer.fit(vectors[learned], is_class[learned])
                decisions = peer.decision_function(vectors[judged])
                score = average_precision_score(is_class[judged], decisions)
                scores[tried].append(score)
        assert cost == max(costs, key=lambda tried: np.mean(scores[tried]))
        peer = peers[cost].fit(vectors, is_class)
        np.testing.assert_allclose(
            found_svm.decision_function(vectors),
            peer.decision_function(vectors),
            atol=1e-3,
        )


def test_processes_find_what_one_finds(monkeypatch):
    vectors, labels = clusters(60, noise=1.0, seed=0)
    arguments = unit(vectors), one_vs_rest(labels, 3)[:, :1], (0.01, 1.0)
    ((alone, cost),) = fit_svms(*arguments)
    monkeypatch.setattr(svm, "LARGE", 1)
    ((together, same_cost),) = fit_svms(*arguments)
    assert cost == same_cost
    np.testing.assert_array_equal(alone.coef_, together.coef_)


def test_clear_clusters_are_told_apart():
    vectors, labels = clusters(60, noise=0.05, seed=0)
    new_vectors, new_labels = clusters(40, noise=0.05, seed=1)
    found = fit_svms(unit(vectors), one_vs_rest(labels, 3), (1.0, 10.0))
    scores = class_scores([one for one, _ in found], unit(new_vectors))
    np.testing.assert_array_equal(scores.argmax(axis=1), new_labels)
    assert mean_average_precision(scores, one_vs_rest(new_labels, 3)) == 1.0


def original_average_precision(scores, target):
    """VOC's definition by a loop over all recalls."""
    order = np.argsort(-scores)
    hits = np.cumsum(target[order] == 1)
    recalls = hits / hits[-1]
    precisions = hits / np.arange(1, len(scores) + 1)
    area, before = 0.0, 0.0
    for recall in np.unique(recalls[recalls > 0]):
        area += (recall - before) * precisions[recalls >= recall].max()
        before = recall
    return area


def test_average_precision_is_the_area_below_the_best_precision():
    random = np.random.default_rng(0)
    for _ in range(20):
        scores, target = random.random(30), random.integers(0, 2, 30)
        np.testing.assert_allclose(
            average_precision(scores, target),
            original_average_precision(scores, target),
        )


def test_difficult_images_do_not_count_and_are_learned_as_absent():
    scores = np.array([[4.0], [3.0], [2.0], [1.0]])
    assert mean_average_precision(scores, np.array([[0], [1], [0], [1]])) == 0.5
    assert mean_average_precision(scores, np.array([[-1], [1], [-1], [1]])) == 1.0
    vectors, labels = clusters(60, noise=0.3, seed=0)
    target = one_vs_rest(labels, 3)[:, 0]
    difficult = np.where(target == 1, 1, -1)
    assert cross_validated(vectors, target, 1.0) == cross_validated(
        vectors, difficult, 1.0
    )


def test_a_class_that_no_image_has_is_left_out_of_the_mean():
    scores = np.array([[2.0, 0], [1.0, 0]])
    assert mean_average_precision(scores, np.array([[1, 0], [0, 0]])) == 1.0


def test_too_few_images_for_cross_validation_are_refused():
    with pytest.raises(ValueError, match=r"needs 3 images with and .*Received: 2 with"):
        cross_validated(np.eye(5), np.array([1, 1, 0, 0, 0]), 1.0)
