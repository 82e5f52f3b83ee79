"""The memory bank against float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf import MemoryBank
from tests.support.vectors import unit_rows


def updated(vectors, indices, embeddings, momentum):
    """Each row of the batch moves towards the mean of its embeddings."""
    new = vectors.astype(np.float64)
    for index in set(indices):
        mean = embeddings[indices == index].astype(np.float64).mean(axis=0)
        row = momentum * new[index] + (1 - momentum) * mean
        new[index] = row / np.linalg.norm(row)
    return new


@pytest.mark.parametrize("initializer", ["uniform", "normal"])
def test_first_rows_are_random_unit_vectors_that_the_seed_fixes(initializer):
    vectors, same, other = (
        MemoryBank(500, 32, initializer=initializer, seed=seed).numpy()
        for seed in (3, 3, 4)
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(vectors, same)
    assert np.abs(vectors - other).max() > 0.1
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=5 / np.sqrt(32 * 500))
    similarities = vectors @ vectors.T
    assert np.abs(similarities - np.eye(500)).max() < 0.95


@pytest.mark.parametrize("momentum", [0.0, 0.2, 0.5, 0.9])
def test_update_equals_numpy(momentum):
    bank = MemoryBank(9, 5, momentum)
    indices, embeddings = np.array([7, 0, 3]), unit_rows(3, 5)
    expected = updated(bank.numpy(), indices, embeddings, momentum)
    bank.update(indices, embeddings)
    np.testing.assert_allclose(bank.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_momentum_is_what_a_row_keeps_of_the_past():
    bank = MemoryBank(3, 2, momentum=0.8)
    bank.assign([[1, 0], [1, 0], [1, 0]])
    bank.update([1], np.array([[0, 1]], np.float32))
    row = np.array([0.8, 0.2]) / np.hypot(0.8, 0.2)
    np.testing.assert_allclose(bank.numpy()[1], row, rtol=1e-6)


def test_of_an_index_twice_in_a_batch_the_mean_embedding_counts():
    bank = MemoryBank(6, 4, momentum=0.3)
    indices, embeddings = np.array([2, 5, 2, 2]), unit_rows(4, 4)
    expected = updated(bank.numpy(), indices, embeddings, momentum=0.3)
    bank.update(indices, embeddings)
    np.testing.assert_allclose(bank.numpy(), expected, rtol=1e-5, atol=1e-7)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_update_leaves_other_rows_alone(data):
    num_instances = data.draw(st.integers(2, 20))
    indices = data.draw(st.lists(st.integers(0, num_instances - 1), min_size=1))
    bank = MemoryBank(num_instances, 3, momentum=0.4)
    before = bank.numpy()
    bank.update(np.array(indices), unit_rows(len(indices), 3, seed=1))
    after = bank.numpy()
    moved = {int(i) for i in np.flatnonzero((before != after).any(axis=1))}
    assert moved == set(indices)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, rtol=1e-6)


def test_lookup_gives_the_rows_in_order():
    bank = MemoryBank(8, 3)
    indices = np.array([[1, 1], [7, 0]])
    np.testing.assert_array_equal(bank.lookup(indices), bank.numpy()[indices])


def test_assign_normalizes_and_survives_zeros():
    bank = MemoryBank(3, 2)
    bank.assign([[3, 4], [0, -2], [0, 0]])
    np.testing.assert_allclose(bank.numpy(), [[0.6, 0.8], [0, -1], [0, 0]], rtol=1e-6)


def test_a_bank_is_float32_and_not_trained_under_any_policy():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    bank = MemoryBank(4, 3)
    assert bank.vectors.dtype == "float32"
    assert bank.lookup([0]).dtype == tf.float32
    assert bank.trainable_variables == []


def test_config_round_trip():
    bank = MemoryBank(4, 3, momentum=0.2, initializer="normal", seed=5)
    again = MemoryBank.from_config(bank.get_config())
    np.testing.assert_array_equal(bank.numpy(), again.vectors.numpy())
    assert again.momentum == 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_instances": 1}, "`num_instances` must be at least 2. Received: 1"),
        ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\). Received: 1.0"),
        ({"momentum": -0.1}, "`momentum` must be in"),
        ({"initializer": "zeros"}, "Unknown initializer 'zeros'. Known: uniform, norm"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MemoryBank(**{"num_instances": 4, "embedding_dim": 3, **arguments})
