"""The probe against scikit-learn, and on data with an obvious answer."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from npid_tf.evaluation.classifiers import linear_probe
from npid_tf.evaluation.classifiers.linear_probe import accuracy, fit, sweep


def clusters(num_vectors, noise, num_classes=4, dim=6, seed=0):
    """Noisy vectors around a center a class, dimensions of very different scales."""
    random = np.random.default_rng(0)
    centers = random.standard_normal([num_classes, dim])
    scales = 10.0 ** np.arange(-2, dim - 2)
    random = np.random.default_rng(seed)
    labels = random.integers(0, num_classes, num_vectors)
    noise = noise * random.standard_normal([num_vectors, dim])
    vectors = scales * (centers[labels] + noise + 3)
    return vectors.astype(np.float32), labels


@pytest.mark.parametrize("weight_decay", [1e-1, 1e-3])
def test_fit_equals_scikit_learn(monkeypatch, weight_decay):
    monkeypatch.setattr(linear_probe, "ROWS_AT_ONCE", 64)  # Several blocks.
    vectors, labels = clusters(300, noise=1.0)
    scaler = StandardScaler().fit(vectors.astype(np.float64))
    peer = LogisticRegression(C=1 / (weight_decay * 300), tol=1e-8, max_iter=10_000)
    peer.fit(scaler.transform(vectors), labels)
    probe = fit(vectors, labels, 4, weight_decay)

    def probabilities(scores):
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(
        probabilities(probe(vectors)),
        peer.predict_proba(scaler.transform(vectors)),
        atol=2e-3,
    )
    np.testing.assert_allclose(
        probe.kernel.T * scaler.scale_, peer.coef_, atol=0.02 * np.abs(peer.coef_).max()
    )


def test_the_sweep_agrees_with_scikit_learn_on_new_data():
    vectors, labels = clusters(600, noise=1.0)
    new_vectors, new_labels = clusters(400, noise=1.0, seed=1)
    classifier, weight_decay, held_out = sweep(vectors, labels, 4)
    top1, top2 = accuracy(classifier, new_vectors, new_labels, (1, 2))
    assert weight_decay == max(held_out, key=held_out.get)
    scaler = StandardScaler().fit(vectors)
    peer = LogisticRegression(C=1 / (weight_decay * 600), max_iter=1000)
    peer.fit(scaler.transform(vectors), labels)
    assert abs(top1 - peer.score(scaler.transform(new_vectors), new_labels)) <= 0.01
    assert 0.4 < top1 < top2 < 1  # Neither chance nor a set that everything solves.


def test_clear_clusters_are_told_apart():
    vectors, labels = clusters(200, noise=0.01)
    classifier, _, held_out = sweep(vectors, labels, 4)
    assert accuracy(classifier, vectors, labels, (1,)) == [1.0]
    assert held_out[1e-3] == 1.0


def test_labels_by_chance_are_not_learned_but_penalized():
    random = np.random.default_rng(0)
    vectors = random.standard_normal([200, 100]).astype(np.float32)
    labels = random.integers(0, 2, 200)
    classifier, _, held_out = sweep(vectors[:150], labels[:150], 2, seed=3)
    assert all(accuracy < 1 for accuracy in held_out.values())
    (top1,) = accuracy(classifier, vectors[150:], labels[150:], (1,))
    assert 0.25 < top1 < 0.75


def test_a_dimension_without_variance_does_no_harm():
    vectors, labels = clusters(200, noise=0.01)
    vectors[:, 2] = 7
    classifier = fit(vectors, labels, 4, 1e-3)
    assert np.isfinite(classifier.kernel).all()
    assert accuracy(classifier, vectors, labels, (1,)) == [1.0]


def test_a_class_without_images_gets_no_votes():
    vectors, labels = clusters(200, noise=0.01)
    classifier = fit(vectors, labels, 6, 1e-3)
    assert set(classifier(vectors).argmax(axis=1)) == {0, 1, 2, 3}


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match=r"2 images or more\. Received: 1"):
        sweep(np.zeros([1, 3], np.float32), np.zeros(1, int), 2)
