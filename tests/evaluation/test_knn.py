"""kNN against full sorts and float64 loops, and on toy data."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.evaluation import knn
from npid_tf.evaluation.knn import class_scores, knn_accuracy, nearest


def in_blocks(vectors, size):
    """A generator of consecutive rows, so read once; None for the array itself."""
    if size is None:
        return vectors
    return (vectors[i : i + size] for i in range(0, len(vectors), size))


@given(
    num_queries=st.integers(1, 12),
    num_vectors=st.integers(1, 300),
    k=st.integers(1, 300),
    block=st.sampled_from([1, 4, 50, None]),
    rows_at_once=st.sampled_from([7, 64, 1000]),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_nearest_equals_a_full_sort(
    num_queries, num_vectors, k, block, rows_at_once, seed
):
    k = min(k, num_vectors)
    random = np.random.default_rng(seed)
    # Small whole numbers: products are exact and many tie, the lower row is first.
    queries = random.integers(-3, 4, [num_queries, 3]).astype(np.float32)
    vectors = random.integers(-3, 4, [num_vectors, 3]).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knn, "QUERIES_AT_ONCE", 5)
        patch.setattr(knn, "ROWS_AT_ONCE", rows_at_once)
        similarities, indices = nearest(queries, in_blocks(vectors, block), k)
    products = queries @ vectors.T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(
        similarities, np.take_along_axis(products, expected, axis=1)
    )


def clusters(num_vectors, num_queries, dim=16):
    """Unit vectors around 10 centers, sorted by center, and queries around the same."""
    random = np.random.default_rng(0)
    centers = random.standard_normal([10, dim])
    rows = np.sort(random.integers(0, 10, num_vectors))
    for number in (rows, random.integers(0, 10, num_queries)):
        points = centers[number] + 0.3 * random.standard_normal([len(number), dim])
        yield (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("k", [1, 20, 3000])
def test_nearest_equals_float64_where_later_rows_are_nearer_than_all_before(k):
    vectors, queries = clusters(3000, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knn, "ROWS_AT_ONCE", 500)
        similarities, indices = nearest(queries, vectors, k)
    products = np.float64(queries) @ np.float64(vectors).T
    expected = -np.sort(-products, axis=1)[:, :k]
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    # The rows are those: each once, and as similar as said.
    found = np.take_along_axis(products, indices, axis=1)
    np.testing.assert_allclose(similarities, found, atol=1e-6)
    assert all(len(np.unique(row)) == k for row in indices)


def test_equal_rows_come_in_their_order():
    _, indices = nearest(np.ones([3, 4]), np.ones([5000, 4]), 7)
    np.testing.assert_array_equal(indices, [range(7)] * 3)


@pytest.mark.parametrize("order", ["by chance", "all equal", "ever nearer"])
def test_few_products_are_in_memory_at_once(order):
    vectors, queries = clusters(40_000, 4096)
    if order == "all equal":
        vectors = np.ones_like(vectors)
    elif order == "ever nearer":
        vectors[:, 0] = np.linspace(-9, 9, len(vectors))
        queries[:, 0] = 9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knn, "ROWS_AT_ONCE", 1000)
        patch.setattr(knn.os, "cpu_count", lambda: 2)
        tracemalloc.start()
        nearest(queries, vectors, 5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < queries.shape[0] * vectors.shape[0] * 4 / 40


def test_no_queries_have_no_neighbors():
    similarities, indices = nearest(np.ones([0, 4]), np.ones([5, 4]), 3)
    assert similarities.shape == indices.shape == (0, 3)


@pytest.mark.parametrize("bad", ["queries", "vectors"])
def test_numbers_that_are_not_finite_are_refused(bad):
    arrays = {"queries": np.eye(4), "vectors": np.eye(4)}
    arrays[bad][2, 1] = np.nan
    with pytest.raises(ValueError, match=f"`{bad}` must be finite"):
        nearest(**arrays, k=2)


@pytest.mark.parametrize("k", [0, 4])
@pytest.mark.parametrize("block", [None, 2])
def test_k_beyond_the_rows_is_refused(k, block):
    queries, vectors = np.eye(2, 4, dtype=np.float32), np.eye(3, 4, dtype=np.float32)
    with pytest.raises(ValueError, match=r"`k` must be at .*Received: "):
        nearest(queries, in_blocks(vectors, block), k)


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
