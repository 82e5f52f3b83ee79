"""What replicas tell one another, on one and on two."""

import numpy as np
import tensorflow as tf

from npid_tf.distribution import replicas
from npid_tf.distribution.strategies import build_strategy


def on_two(function):
    """The results of `function(rank)` in each of two replicas."""
    strategy = build_strategy("mirrored")
    run = tf.function(lambda: strategy.run(lambda: function(replicas.rank())))
    return [np.array(value) for value in strategy.experimental_local_results(run())]


def test_on_one_replica_all_are_the_identity():
    values = tf.constant([1.0, 2.0])
    assert (replicas.num_replicas(), replicas.rank()) == (1, 0)
    assert replicas.local_ranks(tf.distribute.get_strategy()) == (0,)
    for function in (replicas.all_gather, replicas.all_reduce_sum):
        np.testing.assert_array_equal(function(values), values)
    np.testing.assert_array_equal(replicas.local_slice(values, values), values)


def test_batches_of_different_sizes_are_gathered_in_order_and_taken_apart():
    def batch(rank):
        return tf.range(2 + rank) + 10 * rank

    gathered = on_two(lambda rank: replicas.all_gather(batch(rank)))
    for values in gathered:
        np.testing.assert_array_equal(values, [0, 1, 10, 11, 12])
    parts = on_two(
        lambda rank: replicas.local_slice(replicas.all_gather(batch(rank)), batch(rank))
    )
    np.testing.assert_array_equal(parts[0], [0, 1])
    np.testing.assert_array_equal(parts[1], [10, 11, 12])


def test_sums_are_over_all_replicas():
    pair = tf.constant([1.0, 5.0])
    sums = on_two(lambda rank: replicas.all_reduce_sum(pair * (rank + 1)))
    for values in sums:
        np.testing.assert_array_equal(values, [3, 15])


def test_gradients_cross_the_exchange_dense_and_sparse():
    # objective = sum of squares of rows 0 and 2 of what both replicas gathered
    def gradient(rank):
        batch = tf.constant([[1.0], [2.0]]) + 10.0 * rank
        with tf.GradientTape() as tape:
            tape.watch(batch)
            rows = tf.gather(replicas.all_gather(batch), [0, 2])
            objective = tf.reduce_sum(tf.square(rows))
        return tape.gradient(objective, batch)

    # Both replicas have the objective, so each gradient counts twice.
    first, second = on_two(gradient)
    np.testing.assert_allclose(first, [[4.0], [0.0]])
    np.testing.assert_allclose(second, [[44.0], [0.0]])


def test_local_ranks_are_those_of_this_process():
    assert replicas.local_ranks(build_strategy("mirrored")) == (0, 1)


def test_means_are_those_of_equal_indices():
    indices, embeddings = tf.constant([4, 2, 4, 4]), tf.constant([[0.0], [5], [1], [5]])
    means = replicas.means_by_index(indices, embeddings)
    np.testing.assert_allclose(means, [[2.0], [5], [2], [2]])
