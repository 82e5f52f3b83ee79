"""Rows as storage: the same numbers, whatever the devices that hold them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.banks.placement import PLACEMENTS
from npid_tf.banks.rows import Rows
from npid_tf.distribution.strategies import build_strategy

N, COLUMNS = 7, 3
DTYPES = ("float32", "float64", "uint32", "bfloat16")


def make(placement, dtype="float32", strategy="mirrored"):
    with build_strategy(strategy).scope():
        layer = keras.layers.Layer(name="owner")
        return Rows(layer, "numbers", N, COLUMNS, dtype=dtype, placement=placement)


def whole_numbers(dtype, count=N):
    numbers = np.arange(count * COLUMNS).reshape(count, COLUMNS)
    return numbers.astype(np.int32 if dtype == "uint32" else np.float32)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_written_is_read_as_it_was(placement, dtype):
    rows = make(placement, dtype)
    rows.write(0, whole_numbers(dtype))
    np.testing.assert_array_equal(rows.numpy(), whole_numbers(dtype))
    assert rows.shape == (N, COLUMNS)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_part_is_that_of_an_array(data):
    rows, expected = make("sharded"), np.zeros([N, COLUMNS], np.float32)
    for value in range(1, 4):
        first = data.draw(st.integers(0, N))
        end = data.draw(st.integers(first, N))
        rows.write(first, np.full([end - first, COLUMNS], value, np.float32))
        expected[first:end] = value
    first = data.draw(st.integers(0, N))
    end = data.draw(st.integers(first, N))
    np.testing.assert_array_equal(rows.read(first, end), expected[first:end])


@given(n=st.integers(2, 1000), devices=st.integers(1, 16))
def test_shards_hold_each_row_once(n, devices):
    bounds = [PLACEMENTS["sharded"].bounds(n, rank, devices) for rank in range(devices)]
    held = [row for first, end in bounds for row in range(first, end)]
    assert held == list(range(n))
    assert max(end - first for first, end in bounds) == -(-n // devices)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_sums_over_held_rows_become_sums_over_all(placement):
    rows, strategy = make(placement), build_strategy("mirrored")
    rows.write(0, whole_numbers("float32"))

    def step():
        rank = tf.distribute.get_replica_context().replica_id_in_sync_group
        queries = tf.ones([2, COLUMNS]) * tf.cast(rank + 1, tf.float32)
        first, end = rows.bounds(int(tf.get_static_value(rank)))
        held = rows.local_reader()(tf.range(first, end))
        products = tf.matmul(rows.all_gather(queries), held, transpose_b=True)
        return rows.all_reduce_sum(tf.reduce_sum(products, axis=1), queries)

    sums = strategy.experimental_local_results(
        tf.function(lambda: strategy.run(step))()
    )
    total = whole_numbers("float32").sum()
    np.testing.assert_allclose(sums[0], [total, total])
    np.testing.assert_allclose(sums[1], [2 * total, 2 * total])


def test_one_process_saves_replicated_rows_and_each_its_shards():
    assert [part[:2] for part in make("replicated").parts_to_write()] == [(0, N)]
    assert [part[:2] for part in make("sharded").parts_to_write()] == [(0, 3), (3, N)]


@pytest.mark.parametrize(
    ("first", "rows"),
    [
        (0, np.zeros([1, COLUMNS + 1])),
        (N, np.zeros([1, COLUMNS])),
        (-1, np.zeros([1, COLUMNS])),
        (0, np.full([1, COLUMNS], np.inf)),
        (0, np.zeros([1, COLUMNS], str)),
    ],
)
def test_rows_that_do_not_fit_are_refused(first, rows):
    stored = make("replicated", strategy="one_device")
    with pytest.raises(ValueError, match="Received"):
        stored.write(first, rows)
    assert not stored.numpy().any()


def test_an_unknown_placement_is_refused():
    with pytest.raises(ValueError, match=r"Unknown placement 'x'\. Known: repl"):
        make("x", strategy="one_device")
