"""A bank spread over two devices gives what a whole one gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import MemoryBank, ShardedMemoryBank
from npid_tf.distribution import replicas
from npid_tf.distribution.strategies import build_strategy
from tests.support.vectors import unit_rows

N, DIM = 7, 4  # Two devices hold 3 and 4 rows.


@pytest.fixture
def two():
    return build_strategy("mirrored")


def make(strategy, **arguments):
    with strategy.scope():
        return ShardedMemoryBank(N, DIM, momentum=0.3, **arguments)


def run(strategy, function):
    results = tf.function(lambda: strategy.run(function))()
    return [np.array(value) for value in strategy.experimental_local_results(results)]


def test_each_device_has_room_for_its_rows_alone(two):
    bank = make(two)
    assert bank.rows.rows_per_replica() == 4
    assert [(first, end) for first, end, _ in bank.rows.parts()] == [(0, 3), (3, 7)]
    assert [variable.shape[0] for _, _, variable in bank.rows.parts()] == [4, 4]


@pytest.mark.parametrize("initializer", ["uniform", "normal"])
def test_first_rows_are_those_of_a_whole_bank(two, initializer):
    bank = make(two, initializer=initializer, seed=5)
    whole = MemoryBank(N, DIM, initializer=initializer, seed=5)
    np.testing.assert_array_equal(bank.numpy(), whole.numpy())


def test_every_replica_looks_up_rows_of_any(two):
    bank = make(two)
    found = run(two, lambda: bank.lookup(tf.constant([6, 0, 3, 0], tf.int64)))
    for rows in found:
        np.testing.assert_array_equal(rows, bank.numpy()[[6, 0, 3, 0]])


def test_update_of_all_replicas_equals_that_of_a_whole_bank(two):
    bank, whole = make(two), MemoryBank(N, DIM, momentum=0.3)
    embeddings = unit_rows(4, DIM)
    indices = np.array([6, 1, 1, 3])  # 1 is in the batch of either replica.

    def step():
        rank = tf.distribute.get_replica_context().replica_id_in_sync_group
        part = slice(2 * rank, 2 * rank + 2)
        bank.update(tf.constant(indices)[part], tf.constant(embeddings)[part])
        return tf.zeros([])

    run(two, step)
    whole.update(indices, embeddings)
    np.testing.assert_allclose(bank.numpy(), whole.numpy(), rtol=1e-6)


@pytest.mark.parametrize("bank_class", [MemoryBank, ShardedMemoryBank])
@pytest.mark.parametrize("name", ["one_device", "mirrored"])
def test_a_step_reads_rows_and_never_the_whole_bank(name, bank_class):
    # Any other read of a variable that has been scattered to copies all of it.
    strategy = build_strategy(name)
    with strategy.scope():
        bank = bank_class(N, DIM)

    def step():
        indices = tf.constant([6, 0], tf.int64)
        bank.update(indices, bank.lookup(indices))
        return tf.reduce_sum(bank.reader()(bank.rows.bounds(replicas.rank())[0]))

    graph = tf.function(lambda: strategy.run(step)).get_concrete_function().graph
    types = [operation.type for operation in graph.get_operations()]
    assert "ResourceGather" in types
    assert "ReadVariableOp" not in types


def test_write_and_read_cross_the_border(two):
    bank = make(two)
    before = bank.numpy()
    rows = np.arange(3 * DIM, dtype=np.float32).reshape(3, DIM)
    bank.write(2, rows)
    np.testing.assert_array_equal(bank.numpy()[2:5], rows)
    np.testing.assert_array_equal(bank.read(1, 4)[1:], rows[:2])
    np.testing.assert_array_equal(bank.numpy()[[0, 1, 5, 6]], before[[0, 1, 5, 6]])


def test_weights_pass_between_sharded_and_whole_banks(two, tmp_path):
    def model(bank):
        inputs = keras.Input((2,))
        it = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        it.bank = bank
        return it

    sharded, whole = make(two, seed=1), MemoryBank(N, DIM, seed=2)
    rows = sharded.numpy()
    model(sharded).save_weights(tmp_path / "it.weights.h5")
    model(whole).load_weights(tmp_path / "it.weights.h5")
    np.testing.assert_array_equal(whole.numpy(), rows)
    other = make(two, seed=3)
    model(other).load_weights(tmp_path / "it.weights.h5")
    np.testing.assert_array_equal(other.numpy(), rows)
    smaller = MemoryBank(N - 1, DIM)
    with pytest.raises(ValueError, match=r"bank of shape \(7, 4\). Expected: \(6, 4\)"):
        model(smaller).load_weights(tmp_path / "it.weights.h5")


def test_rows_may_be_stored_as_bfloat16(two):
    bank, exact = make(two, row_dtype="bfloat16"), make(two)
    assert bank.rows.parts()[0][2].dtype == tf.bfloat16
    assert bank.numpy().dtype == np.float32
    np.testing.assert_allclose(bank.numpy(), exact.numpy(), atol=2**-8)
    assert np.abs(bank.numpy() - exact.numpy()).max() > 0
