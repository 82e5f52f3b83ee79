"""Recall@k and mAP beside scikit-learn's, and on answers that are plain."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from npid_tf.evaluation import retrieval
from npid_tf.evaluation.retrieval import average_precisions, retrieval_scores
from tests.support.vectors import unit_rows

TURNS = np.radians([0, 10, 20, 180], dtype=np.float32)
CIRCLE = np.stack([np.cos(TURNS), np.sin(TURNS)], axis=1)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    num_queries=st.integers(1, 9),
    num_vectors=st.integers(1, 40),
    num_classes=st.integers(1, 5),
    num_repeats=st.integers(0, 20),
    seed=st.integers(0, 99),
)
def test_it_is_scikit_learn_s_average_precision_ties_included(
    num_queries, num_vectors, num_classes, num_repeats, seed
):
    random = np.random.default_rng(seed)
    vectors = unit_rows(num_vectors, 3, seed=random)
    # The same rows again, maybe of another class: of equal similarity.
    vectors = np.concatenate([vectors, vectors[:num_repeats]])
    labels = random.integers(0, num_classes, len(vectors))
    queries = unit_rows(num_queries, 3, seed=random)
    query_labels = random.integers(0, num_classes, num_queries)
    precisions = average_precisions(queries, query_labels, vectors, labels)
    similarities = queries @ vectors.T
    for value, row, label in zip(precisions, similarities, query_labels, strict=True):
        relevant = labels == label
        expected = average_precision_score(relevant, row) if relevant.any() else 0.0
        assert value == pytest.approx(expected, abs=1e-9)


def test_recall_is_the_part_of_the_queries_with_a_hit_among_the_first_k():
    labels = np.array([0, 1, 1, 2])
    scores = retrieval_scores(
        CIRCLE[:1].repeat(3, axis=0), np.array([0, 1, 2]), CIRCLE, labels, (1, 2, 3)
    )
    # Rows come in their order: class 0 first, 1 second and third, 2 last.
    assert scores == {
        "recall@1": pytest.approx(1 / 3),
        "recall@2": pytest.approx(2 / 3),
        "recall@3": pytest.approx(2 / 3),
        "mAP": pytest.approx((1 + (1 / 2 + 2 / 3) / 2 + 1 / 4) / 3),
    }


def test_an_image_among_its_like_finds_itself():
    random = np.random.default_rng(0)
    vectors = unit_rows(50, 16, seed=random)
    numbers = np.arange(50)
    noise = unit_rows(50, 16, seed=random)
    near = vectors + 0.1 * noise
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    scores = retrieval_scores(near, numbers, vectors, numbers)
    assert scores == {"recall@1": 1, "recall@5": 1, "recall@10": 1, "mAP": 1}
    mismatched = retrieval_scores(near, np.roll(numbers, 1), vectors, numbers)
    assert mismatched["recall@1"] == 0
    assert mismatched["mAP"] < 0.3


def test_a_query_of_a_class_that_is_not_there_scores_0():
    scores = retrieval_scores(CIRCLE[:1], np.array([7]), CIRCLE, np.array([0, 1, 1, 2]))
    assert set(scores.values()) == {0.0}


def test_k_beyond_the_rows_counts_all_of_them():
    scores = retrieval_scores(
        CIRCLE[:1], np.array([2]), CIRCLE, np.array([0, 1, 1, 2]), (10,)
    )
    assert scores == {"recall@10": 1.0, "mAP": 0.25}


def test_memory_does_not_grow_with_queries_times_rows(monkeypatch):
    monkeypatch.setattr(retrieval, "SIMILARITY_BYTES", 1 << 16)
    random = np.random.default_rng(0)
    queries, vectors = unit_rows(4000, 4, seed=random), unit_rows(4000, 4, seed=random)
    labels = random.integers(0, 10, 4000)
    tracemalloc.start()
    try:
        average_precisions(queries, labels, vectors, labels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4000 * 4000 * 4 / 8  # All similarities would take 64 MB.
