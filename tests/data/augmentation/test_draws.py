"""Draws are those of SplitMix64, wherever in its sequence, and look uniform."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.augmentation.draws import uniform_draws

MASK = 2**64 - 1


def splitmix64(state):
    """The published algorithm, one number at a time, with Python's integers."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
        yield bits ^ (bits >> 31)


def test_reference_gives_the_published_numbers():
    numbers = splitmix64(1234567)
    assert [next(numbers) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_draws_are_the_sequence_cut_into_rows():
    start = int(
        tf.random.stateless_uniform([], [3, 4], None, None, tf.uint64)  # (seed, epoch)
    )
    numbers = splitmix64(start)
    expected = [(next(numbers) >> 40) / 2**24 for _ in range(10 * 7)]
    draws = uniform_draws(3, 4, tf.range(10, dtype=tf.int64), 7)
    np.testing.assert_array_equal(draws, np.reshape(expected, [10, 7]))


@pytest.mark.parametrize("index", [0, 1, 1_281_166, 2**40])
def test_a_row_depends_on_its_own_index_only(index):
    alone = uniform_draws(1, 2, tf.constant([index], tf.int64), 28)
    among = uniform_draws(1, 2, tf.constant([[5, index], [7, 9]], tf.int64), 28)
    np.testing.assert_array_equal(alone[0], among[0, 1])
    assert among.shape == (2, 2, 28)


def test_draws_repeat_and_differ_by_seed_epoch_and_index():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (2**40, 0, 0)]

    def all_draws():
        return [
            tuple(uniform_draws(seed, epoch, tf.constant([index]), 5)[0].numpy())
            for seed, epoch, index in keys
        ]

    first = all_draws()
    tf.random.set_seed(99)  # What else a program draws must not matter.
    assert all_draws() == first
    assert len(set(first)) == len(keys)


def test_draws_are_uniform_and_rows_and_columns_unrelated():
    draws = uniform_draws(0, 0, tf.range(20_000, dtype=tf.int64), 8).numpy()
    assert draws.dtype == np.float32 and draws.min() >= 0 and draws.max() < 1
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in draws.T])
    assert np.abs(counts - 1000).max() < 160  # Five standard deviations.
    following = np.concatenate([draws[:-1], draws[1:]], axis=1).T  # And of the next.
    correlations = np.corrcoef(following) - np.eye(16)
    assert np.abs(correlations).max() < 0.035


def test_large_seeds_and_epochs_of_tensors_are_taken():
    draws = uniform_draws(2**62, tf.constant(2**40, tf.int64), tf.constant([1, 2]), 3)
    assert len(set(draws.numpy().ravel())) == 6
