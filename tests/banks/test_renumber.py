"""A bank of other images: rows that are kept go on, the others are new."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf import LearnedRows, MemoryBank, RecentRows, ShardedMemoryBank
from npid_tf.banks.files import other_weights, read_bank, write_bank

N, NOW, DIM = 11, 14, 3
KEPT = np.array([True] * 4 + [False, True, False, True, True, True, False])
COUNT = int(KEPT.sum())
RATE = 0.1


def banks(kind, strategy):
    """A bank of N images, and one of NOW."""
    make = {
        "memory_bank": lambda n: MemoryBank(n, DIM),
        "bfloat16": lambda n: MemoryBank(n, DIM, row_dtype="bfloat16"),
        "sharded": lambda n: ShardedMemoryBank(n, DIM),
        "learned_rows": lambda n: LearnedRows(n, DIM, num_neighbors=2),
        "recent_rows": lambda n: RecentRows(n, DIM, num_recent=5, weight_decay=0.01),
    }[kind]
    with strategy.scope():
        return make(N), make(NOW)


def two_devices():
    devices = tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def carried_over(before, now, directory):
    """What restoring a checkpoint does to `now`."""
    write_bank(before, directory)
    read_bank(now, directory, KEPT)
    others = other_weights(now)
    for name, weight in other_weights(before).items():
        others[name].assign(weight.numpy())
    now.renumber(KEPT)


@pytest.mark.parametrize("kind", ["memory_bank", "bfloat16", "sharded"])
def test_rows_follow_and_the_others_stay_as_new(kind, tmp_path):
    before, now = banks(kind, two_devices())
    fresh = now.numpy()
    carried_over(before, now, tmp_path)
    np.testing.assert_array_equal(now.numpy()[:COUNT], before.numpy()[KEPT])
    np.testing.assert_array_equal(now.numpy()[COUNT:], fresh[COUNT:])


@pytest.mark.parametrize("strategy", [tf.distribute.get_strategy, two_devices])
def test_learned_rows_keep_their_velocity_and_look_for_neighbors_anew(
    strategy, tmp_path
):
    before, now = banks("learned_rows", strategy())
    rng = np.random.default_rng(0)
    before.velocity.write(0, rng.normal(size=[N, DIM]))
    before.neighbors.write(0, rng.integers(1, N, [N, 2]))
    assert before.has_neighbors()
    carried_over(before, now, tmp_path)
    np.testing.assert_array_equal(now.rows.numpy()[:COUNT], before.rows.numpy()[KEPT])
    velocity = before.velocity.numpy()[KEPT]
    np.testing.assert_array_equal(now.velocity.numpy()[:COUNT], velocity)
    assert not now.velocity.numpy()[COUNT:].any()
    assert not now.has_neighbors()
    assert (now.neighbors.numpy() == NOW).all()


@pytest.mark.parametrize("strategy", [tf.distribute.get_strategy, two_devices])
def test_recent_rows_make_up_for_what_they_missed_before_others_are_recent(
    strategy, tmp_path
):
    before, now = banks("recent_rows", strategy())
    rng = np.random.default_rng(0)
    before.velocity.write(0, rng.normal(size=[N, DIM]))
    left = rng.integers(0, 20, [N, 1])
    before.recency.left.write(0, left * np.array([1, RATE]))
    before.recency.clock.assign([20, 20 * RATE])
    before.recency.recent.assign([4, 9, 6, 0, 8])
    carried_over(before, now, tmp_path)
    # Rows are read as before: with the steps that they have missed.
    np.testing.assert_allclose(
        now.numpy()[:COUNT], before.numpy()[KEPT], rtol=0, atol=1e-6
    )
    # 4 and 6 are gone, 9, 0 and 8 have other numbers; the last new ones came first.
    assert now.recency.recent.numpy().tolist() == [12, 13, 7, 0, 6]
    assert not now.recency.missed(0, NOW).any()
    assert not now.velocity.numpy()[COUNT:].any()


def test_recent_rows_may_all_be_gone(tmp_path):
    before, now = banks("recent_rows", tf.distribute.get_strategy())
    before.recency.recent.assign([4, 6, 10, 0, 1])
    only = np.zeros(N, bool)
    only[[2, 3]] = True
    write_bank(before, tmp_path)
    read_bank(now, tmp_path, only)
    now.recency.recent.assign(before.recency.recent.numpy())
    now.renumber(only)
    assert now.recency.recent.numpy().tolist() == [9, 10, 11, 12, 13]
