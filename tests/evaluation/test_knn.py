"""kNN accuracy on toy data."""

import numpy as np
import pytest

from npid_tf.errors import UserError
from npid_tf.evaluation import knn
from npid_tf.evaluation.knn import knn_accuracy
from tests.support.vectors import clusters, in_blocks


def unit(angles):
    """Unit vectors at these angles, in degrees."""
    radians = np.deg2rad(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_queries_beside_the_vectors_of_their_class_are_all_right():
    labels = np.array([0, 0, 1, 1, 2, 2])
    vectors = unit([0, 10, 120, 130, 240, 250])
    accuracies = knn_accuracy(
        unit([5, 125, 245]), np.array([0, 1, 2]), vectors, labels, (1, 2, 6)
    )
    assert accuracies == {k: {"top1": 1.0, "top5": 1.0} for k in (1, 2, 6)}


def test_accuracy_does_not_depend_on_how_many_queries_vote_at_once():
    vectors, queries = clusters(200, 50)
    random = np.random.default_rng(0)
    labels, query_labels = random.integers(0, 10, 200), random.integers(0, 10, 50)
    together = knn_accuracy(queries, query_labels, vectors, labels, (3, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knn, "QUERIES_AT_ONCE", 7)  # the last 7 are but one
        apart = knn_accuracy(
            queries, query_labels, in_blocks(vectors, 64), labels, (3, 20)
        )
    assert apart == together
    assert 0 < together[20]["top1"] < together[20]["top5"] < 1


def test_one_near_neighbor_outvotes_two_far_ones_unless_the_temperature_is_high():
    vectors, labels = unit([5, 70, 75]), np.array([0, 1, 1])
    query, label = unit([0]), np.array([0])
    cold = knn_accuracy(query, label, vectors, labels, (3,), temperature=0.1)
    hot = knn_accuracy(query, label, vectors, labels, (3,), temperature=10.0)
    assert (cold[3]["top1"], hot[3]["top1"]) == (1.0, 0.0)


def test_top_5_counts_only_classes_that_some_neighbor_voted_for():
    vectors, labels = unit([0, 90]), np.array([0, 1])
    accuracies = knn_accuracy(unit([1]), np.array([1]), vectors, labels, (1, 2))
    assert (accuracies[1]["top5"], accuracies[2]["top5"]) == (0.0, 1.0)


@pytest.mark.parametrize("missing", ["evaluated", "training"])
def test_missing_labels_are_refused_with_what_to_do(missing):
    labels = {"evaluated": np.array([0]), "training": np.array([0])}
    labels[missing] = None
    with pytest.raises(ValueError, match="each class is a sub-folder"):
        knn_accuracy(unit([0]), labels["evaluated"], unit([0]), labels["training"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"queries": [1.0]}, r"`queries` must be numbers \[rows, dim\]"),
        ({"queries": [["a", "b"]]}, "`queries` must be numbers"),
        ({"vectors": unit([0, 1])[:, :-1]}, r"`vectors` must be numbers \[rows, \d+\]"),
        ({"k_values": 1}, "`k_values` must be whole numbers.*Received: 1"),
        ({"k_values": "1"}, "`k_values` must be whole numbers"),
        ({"temperature": "hot"}, "`temperature` must be a number above 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changed, message):
    arguments = {
        "queries": unit([0]),
        "query_labels": [0],
        "vectors": unit([0, 1]),
        "labels": [0, 1],
        "k_values": (1,),
        **changed,
    }
    with pytest.raises(UserError, match=message):
        knn_accuracy(**arguments)


def test_lists_are_arrays_too():
    vectors, queries = unit([0, 1]), unit([0])
    expected = knn_accuracy(queries, [0], vectors, [0, 1], (1,))
    given = knn_accuracy(queries.tolist(), [0], [vectors[:1], vectors[1:]], [0, 1], [1])
    assert given == expected
