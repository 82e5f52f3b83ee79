"""What the rows of the instance classifier keep, read and refuse."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf import LearnedRows
from npid_tf.banks.files import read_bank, write_bank
from npid_tf.distribution.strategies import build_strategy


def filled(seed, num_rows=9):
    rows = LearnedRows(num_rows, 4, num_neighbors=3)
    rng = np.random.default_rng(seed)
    for each in rows.all_rows().values():
        each.write(0, (rng.normal(size=each.shape) * 10).astype(each.dtype))
    return rows


def test_rows_are_read_at_unit_length():
    rows = filled(0)
    raw = rows.rows.numpy()
    units = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).min() > 0.1
    np.testing.assert_allclose(rows.numpy(), units, rtol=1e-6)
    np.testing.assert_allclose(rows.lookup(tf.constant([2, 7])), units[[2, 7]], 1e-6)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_files_keep_rows_velocities_and_neighbors(tmp_path, strategy):
    rows = filled(0)
    write_bank(rows, tmp_path)
    with build_strategy(strategy).scope():
        other = LearnedRows(9, 4, num_neighbors=3)
    read_bank(other, tmp_path)
    for name, read in other.all_rows().items():
        expected = rows.all_rows()[name].numpy()
        np.testing.assert_array_equal(read.numpy(), expected)


def test_keras_files_keep_them_too():
    rows, other, store = filled(0), filled(1), {}
    rows.save_own_variables(store)
    other.load_own_variables(store)
    for name, read in other.all_rows().items():
        np.testing.assert_array_equal(read.numpy(), store[name])


def test_config_makes_the_same_rows():
    rows = LearnedRows(
        9,
        4,
        0.7,
        weight_decay=0.01,
        num_neighbors=3,
        initializer="uniform",
        seed=5,
        name="mine",
    )
    again = LearnedRows.from_config(rows.get_config())
    assert again.get_config() == rows.get_config()
    np.testing.assert_array_equal(again.numpy(), rows.numpy())


@pytest.mark.parametrize("number", [-1, 9])
def test_too_many_neighbors_are_refused(number):
    with pytest.raises(ValueError, match=r"num_neighbors=.*num_instances=9"):
        LearnedRows(9, 4, num_neighbors=number)
