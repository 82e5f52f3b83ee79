"""The search over devices against a full sort and against the search on cores.

Two logical CPUs stand for the GPUs: what differs there is the kernels alone.
"""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf import LearnedRows
from npid_tf.banks.refresh_neighbors import refresh_neighbors
from npid_tf.evaluation.knn import knn_accuracy
from npid_tf.search import nearest as search
from npid_tf.search import nearest_on_devices as knn_on_devices
from npid_tf.search.nearest import nearest
from npid_tf.search.votes import class_scores


@pytest.fixture(params=[1, 2])
def on_devices(monkeypatch, request):
    """Has `nearest` search on devices, in small chunks."""
    devices = [f"CPU:{i}" for i in range(request.param)]
    monkeypatch.setattr(search, "gpus", lambda: devices)
    monkeypatch.setattr(search, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(knn_on_devices, "QUERIES_AT_ONCE", 5)


@pytest.mark.parametrize("num_queries", [0, 1, 12])
@pytest.mark.parametrize("k", [1, 9, 60])
def test_equals_a_full_sort_and_of_equals_the_lower_row_leads(
    on_devices, num_queries, k
):
    random = np.random.default_rng(k)
    # Small whole numbers: products are exact and many tie, some at -0.0.
    queries = random.integers(-2, 3, [num_queries, 3]).astype(np.float32)
    vectors = random.integers(-2, 3, [60, 3]).astype(np.float32)
    vectors[5] = -0.0
    similarities, rows = nearest(queries, vectors, k)
    products = queries @ vectors.T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(
        similarities, np.take_along_axis(products, expected, axis=1)
    )
    assert (similarities.dtype, rows.dtype) == (np.float32, np.int32)


def test_equals_the_search_on_cores(on_devices, monkeypatch):
    random = np.random.default_rng(0)
    vectors = random.normal(size=[300, 16]).astype(np.float32)
    labels = random.integers(0, 4, 300)
    found = nearest(vectors[:20], vectors, 12)
    accuracy = knn_accuracy(vectors[:20], labels[:20], vectors, labels, (12,))
    monkeypatch.setattr(search, "gpus", list)
    expected = nearest(vectors[:20], vectors, 12)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert accuracy == knn_accuracy(vectors[:20], labels[:20], vectors, labels, (12,))


def test_all_devices_get_chunks_in_turn(on_devices, monkeypatch):
    used = []
    better = knn_on_devices._better

    def note(queries, *arguments):
        used.append(queries.device[-1])
        return better(queries, *arguments)

    monkeypatch.setattr(knn_on_devices, "_better", note)
    nearest(np.eye(3), np.ones([4 * 7, 3]), 2)
    assert used == [str(i % len(search.gpus())) for i in range(4)]


def test_products_are_not_rounded_to_tensor_float_32(on_devices, monkeypatch):
    seen = []
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    better = knn_on_devices._better

    def note(*arguments):
        seen.append(enabled())
        return better(*arguments)

    monkeypatch.setattr(knn_on_devices, "_better", note)
    nearest(np.eye(3), np.eye(3), 2)
    assert not any(seen)
    assert seen
    assert enabled()


def test_neighbors_are_refreshed_on_devices(on_devices):
    rows = LearnedRows(40, 6, num_neighbors=5)
    refresh_neighbors(rows)
    units = rows.numpy().astype(np.float64)
    similarities = units @ units.T
    np.fill_diagonal(similarities, -np.inf)
    expected = np.argsort(-similarities, axis=1)[:, :5]
    np.testing.assert_array_equal(rows.neighbors.numpy(), expected)


def test_k_beyond_the_rows_and_what_is_not_finite_are_refused(on_devices):
    with pytest.raises(ValueError, match=r"`k` must be at most the 3 rows"):
        nearest(np.eye(3), np.eye(3), 4)
    vectors = np.eye(3)
    vectors[1, 1] = np.inf
    with pytest.raises(ValueError, match="`vectors` must be finite"):
        nearest(np.eye(3), vectors, 1)


def test_votes_are_counted_where_the_similarities_lie():
    with tf.device("CPU:1"):
        similarities = tf.constant([[0.5, 0.25]])
        scores = class_scores(similarities, tf.constant([[1, 0]], tf.int64), 2, 1.0)
    assert scores.device.endswith("CPU:1")
