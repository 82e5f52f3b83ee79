"""Votes against a float64 loop."""

import numpy as np

from npid_tf.search.votes import class_scores


def test_class_scores_equal_a_float64_loop():
    random = np.random.default_rng(0)
    similarities = random.uniform(-1, 1, [6, 9]).astype(np.float32)
    labels = random.integers(0, 4, [6, 9])
    expected = np.zeros([6, 4])
    for query in range(6):
        for similarity, label in zip(similarities[query], labels[query], strict=True):
            expected[query, label] += np.exp(np.float64(similarity) / 0.1)
        expected[query] /= np.exp(np.float64(similarities[query].max()) / 0.1)
    scores = class_scores(similarities, labels, 4, 0.1).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_class_scores_do_not_overflow_at_a_low_temperature():
    scores = class_scores(np.float32([[1.0, 0.9]]), np.array([[1, 0]]), 2, 1e-3)
    np.testing.assert_allclose(scores, [[0.0, 1.0]], atol=1e-6)
