"""What evaluation refuses, leaves out and takes as it is: labels, scales, NaN."""

import numpy as np
import pytest

from npid_tf import KNNEvaluation
from npid_tf.evaluation import alignment, retrieval
from npid_tf.evaluation.classifiers import linear_probe, low_shot, svm
from npid_tf.evaluation.confusions import worst_classes
from npid_tf.evaluation.knn import knn_accuracy
from npid_tf.evaluation.neighborhood import vote
from npid_tf.search.nearest import nearest
from npid_tf.search.votes import class_scores

RNG = np.random.default_rng(0)
CENTRES = np.eye(4, 8)
LABELS = np.arange(60) % 4
VECTORS = (CENTRES[LABELS] + 0.05 * RNG.normal(size=(60, 8))).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
BAD = VECTORS.copy()
BAD[7, 3] = np.nan
TARGETS = svm.one_vs_rest(LABELS, 4)


def test_neighbors_without_a_label_do_not_vote():
    similarities = np.float32([[0.9, 0.8], [0.7, 0.6]])
    scores = class_scores(similarities, [[0, 1], [-1, -1]], 2, 1.0).numpy()
    np.testing.assert_allclose(scores, [[1, np.exp(-0.1)], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("padding", [np.nan, -np.inf, np.inf])
def test_padding_does_not_vote(padding):
    similarities = np.float32([[0.9, padding, 0.5], [padding] * 3])
    scores = class_scores(similarities, [[1, 0, 1], [0, 1, 2]], 3, 0.1).numpy()
    np.testing.assert_allclose(scores, [[0, 1 + np.exp(-4), 0], [0, 0, 0]], rtol=1e-5)
    of_unlabelled = class_scores(np.float32([[5.0, 0.5]]), [[-1, 1]], 2, 0.1).numpy()
    np.testing.assert_allclose(of_unlabelled, [[0, 1]])


@pytest.mark.parametrize(
    ("labels", "temperature"),
    [
        ([[0, 2]], 1.0),
        ([[0, -2]], 1.0),
        ([[0.0, 1.0]], 1.0),
        ([[0]], 1.0),
        ([0, 1], 1.0),
        ([[0, 1]], 0.0),
        ([[0, 1]], -1.0),
        ([[0, 1]], float("nan")),
        ([[0, 1]], float("inf")),
    ],
)
def test_votes_that_cannot_be_counted_are_refused(labels, temperature):
    with pytest.raises(ValueError, match="must be"):
        class_scores(np.float32([[0.9, 0.8]]), labels, 2, temperature)


def test_large_ids_are_classes_like_any_others():
    ids = np.array([3, 10**6, 5 * 10**11, 7 * 10**17])
    plain = knn_accuracy(VECTORS, LABELS, VECTORS[::-1], LABELS[::-1], (3, 9))
    assert plain == knn_accuracy(
        VECTORS, ids[LABELS], VECTORS[::-1], ids[LABELS[::-1]], (3, 9)
    )
    similarities, neighbors = nearest(VECTORS, VECTORS, 5)
    np.testing.assert_array_equal(
        vote(similarities, neighbors, ids[LABELS], 0.1),
        ids[vote(similarities, neighbors, LABELS, 0.1)],
    )
    wrong = np.where(np.arange(60) < 8, 1, LABELS)
    expected = [
        (ids[c], n, r, None if other is None else ids[other], times)
        for c, n, r, other, times in worst_classes(LABELS, wrong, 3)
    ]
    assert worst_classes(ids[LABELS], ids[wrong], 3) == expected


def test_rows_without_a_label_leave_the_accuracy_to_the_others():
    labels = np.where(np.arange(60) < 30, LABELS, -1)
    found = knn_accuracy(VECTORS, LABELS, VECTORS, labels, (60,), temperature=0.02)
    expected = knn_accuracy(
        VECTORS, LABELS, VECTORS[:30], LABELS[:30], (30,), temperature=0.02
    )
    assert found[60] == expected[30]


@pytest.mark.parametrize(
    "arguments",
    [
        {"query_labels": np.full(60, -1)},
        {"query_labels": LABELS[:5]},
        {"labels": LABELS[:5]},
        {"labels": np.append(LABELS, 0)},
        {"labels": LABELS.astype(float)},
        {"labels": LABELS[None]},
        {"labels": LABELS.reshape(30, 2)},
        {"labels": LABELS - 2},
        {"k_values": (0,)},
        {"k_values": (61,)},
        {"k_values": (2.5,)},
        {"k_values": ()},
        {"temperature": 0},
        {"queries": BAD},
        {"vectors": BAD},
    ],
)
def test_knn_refuses_what_has_no_accuracy(arguments):
    fitting = dict(queries=VECTORS, query_labels=LABELS, vectors=VECTORS, labels=LABELS)
    with pytest.raises(ValueError, match="must"):
        knn_accuracy(**{**fitting, "k_values": (5,), **arguments})


def test_labels_as_keras_has_them_are_one_for_each_image():
    column = LABELS[:, None]  # [n, 1], of keras.datasets.cifar10
    accuracy = knn_accuracy(VECTORS, column, VECTORS, column, k_values=(5,))
    assert accuracy == knn_accuracy(VECTORS, LABELS, VECTORS, LABELS, k_values=(5,))
    np.testing.assert_array_equal(KNNEvaluation(None, column, column).labels, LABELS)


@pytest.mark.parametrize(
    "arguments", [{"k": 0}, {"k": 1.5}, {"every": 0}, {"temperature": 0.0}]
)
def test_the_callback_refuses_them_where_it_is_made(arguments):
    with pytest.raises(ValueError, match="must be"):
        KNNEvaluation(None, LABELS, LABELS, **arguments)


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda: linear_probe.fit(BAD, LABELS, 4, 1e-3),
        lambda: linear_probe.sweep(BAD, LABELS, 4),
        lambda: svm.unit(BAD),
        lambda: svm.fit_svm(BAD, TARGETS[:, 0], 1.0),
        lambda: svm.fit_svms(BAD, TARGETS, (1.0,)),
        lambda: svm.cross_validated(BAD, TARGETS[:, 0], 1.0),
        lambda: svm.class_scores([None], BAD),
        lambda: low_shot.low_shot(BAD, TARGETS, VECTORS, None, (1,)),
        lambda: low_shot.low_shot(VECTORS, TARGETS, BAD, None, (1,)),
        lambda: retrieval.retrieval_scores(BAD, LABELS, VECTORS, LABELS),
        lambda: retrieval.retrieval_scores(VECTORS, LABELS, BAD, LABELS),
        lambda: retrieval.average_precisions(VECTORS, LABELS, BAD, LABELS),
        lambda: alignment.alignment(BAD, VECTORS),
        lambda: alignment.uniformity(BAD),
    ],
)
def test_features_that_are_not_finite_are_refused(evaluate):
    with pytest.raises(ValueError, match=r"`.*` must be finite"):
        evaluate()


@pytest.mark.parametrize("labels", [LABELS - 1, LABELS + 1, LABELS / 1.0, LABELS[:9]])
def test_labels_that_are_no_class_are_refused(labels):
    with pytest.raises(ValueError, match=r"`.*` must"):
        linear_probe.fit(VECTORS, labels, 4, 1e-3)
    if len(labels) == 60:
        with pytest.raises(ValueError, match="`labels` must"):
            svm.one_vs_rest(labels, 4)


@pytest.mark.parametrize("scale", [1e-20, 1e-8, 1.0, 1e6])
def test_a_probe_does_not_depend_on_the_scale_of_the_features(scale):
    vectors = (VECTORS * np.float32(scale)).astype(np.float32)
    (top1,) = linear_probe.accuracy(
        linear_probe.fit(vectors, LABELS, 4, 1e-3), vectors, LABELS, (1,)
    )
    assert top1 == 1.0
    lengths = np.linalg.norm(svm.unit(vectors), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-4)


def test_a_column_that_is_rounding_counts_as_constant():
    constant = np.full([60, 1], 0.1, np.float32)
    constant[::7] = np.nextafter(constant[::7], np.float32(1))
    vectors = np.concatenate([VECTORS, constant], axis=1)
    classifier = linear_probe.fit(vectors, LABELS, 4, 1e-3)
    assert np.abs(classifier.kernel[-1]).max() < 1
