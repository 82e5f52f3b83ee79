"""Low-shot draws and costs."""

import numpy as np
import pytest

from npid_tf.evaluation.classifiers.low_shot import draw, low_shot
from npid_tf.evaluation.classifiers.svm import one_vs_rest, unit

LABELS = np.repeat(np.arange(3), 20)
TARGETS = one_vs_rest(LABELS, 3)


def vectors(noise, seed=0):
    centers = np.random.default_rng(5).standard_normal([3, 8])
    random = np.random.default_rng(seed)
    return unit(centers[LABELS] + noise * random.standard_normal([60, 8]))


def accuracy(scores):
    return float(np.mean(scores.argmax(axis=1) == LABELS))


def run(noise=0.05, shots=(1, 3), **settings):
    return low_shot(
        vectors(noise), TARGETS, vectors(noise, 1), accuracy, shots, **settings
    )


@pytest.mark.parametrize("choose_cost", ["cv", "test"])
def test_clear_clusters_need_one_image_each(choose_cost):
    results = run(choose_cost=choose_cost, costs=(0.1, 1.0))
    for k in (1, 3):
        assert results[k]["mean"] == results[k]["min"] == 1.0
        assert results[k]["std"] == 0.0
        assert len(results[k]["costs"]) == 5


def test_more_images_are_better():
    results = run(noise=1.0, shots=(1, 16), choose_cost="test", costs=(1.0,))
    assert results[1]["mean"] < results[16]["mean"]
    assert results[1]["min"] < results[1]["max"]


def test_the_cost_by_test_is_one_for_all_draws_and_never_worse():
    costs = (0.5**12, 1.0, 100.0)
    settings = dict(noise=1.0, shots=(4,), num_draws=2)
    by_cv = run(**settings, costs=costs)[4]
    by_test = run(**settings, costs=costs, choose_cost="test")[4]
    assert len(set(by_test["costs"])) == 1
    alone = [
        run(**settings, costs=(cost,), choose_cost="test")[4]["mean"] for cost in costs
    ]
    assert by_test["mean"] == max(alone)
    assert set(by_cv["costs"]) <= set(costs)


def test_draws_are_repeatable_and_differ_between_seeds():
    settings = dict(noise=1.0, shots=(1,), costs=(1.0,), num_draws=2)
    assert run(**settings) == run(**settings)
    assert run(**settings) != run(**settings, seed=1)


def test_of_single_classes_k_each_are_drawn_and_the_others_are_without():
    drawn = draw(TARGETS, 4, np.random.default_rng(0))
    rows = drawn[0][0]
    assert np.bincount(LABELS[rows]).tolist() == [4, 4, 4]
    assert len(set(rows)) == 12
    for number, (its_rows, target) in enumerate(drawn):
        np.testing.assert_array_equal(its_rows, rows)
        np.testing.assert_array_equal(target, LABELS[rows] == number)


def test_of_several_classes_each_draws_its_own_and_no_difficult_image():
    random = np.random.default_rng(0)
    targets = random.choice([1, 0, -1], [200, 3])
    drawn = draw(targets, 4, random)
    for number, (rows, target) in enumerate(drawn):
        assert sorted(target) == [0] * 8 + [1] * 4
        np.testing.assert_array_equal(targets[rows, number], target)
    assert set(drawn[0][0]) != set(drawn[1][0])


def test_more_shots_than_images_are_refused():
    with pytest.raises(ValueError, match=r"`shots` must be in \[1, 20\].*Received: 21"):
        run(shots=(1, 21))


def test_an_unknown_choice_of_the_cost_is_refused():
    with pytest.raises(ValueError, match=r"Unknown lowshot_cost 'x'. Known: cv, test"):
        run(choose_cost="x")
