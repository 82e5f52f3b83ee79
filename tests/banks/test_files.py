"""The rows of a bank in files."""

import numpy as np
import pytest

from npid_tf import LearnedRows, MemoryBank, RecentRows, ShardedMemoryBank
from npid_tf.banks.files import other_weights, read_bank, write_bank
from npid_tf.banks.refresh_neighbors import refresh_neighbors
from npid_tf.distribution.strategies import build_strategy


def make(bank_class, **arguments):
    with build_strategy("mirrored").scope():
        return bank_class(9, 4, **arguments)


@pytest.mark.parametrize("saved", [MemoryBank, ShardedMemoryBank])
@pytest.mark.parametrize("loaded", [MemoryBank, ShardedMemoryBank])
@pytest.mark.parametrize("row_dtype", ["float32", "bfloat16"])
def test_round_trip_is_exact(tmp_path, saved, loaded, row_dtype):
    bank = make(saved, row_dtype=row_dtype, seed=1)
    write_bank(bank, tmp_path)
    other = make(loaded, row_dtype=row_dtype, seed=2)
    read_bank(other, tmp_path)
    np.testing.assert_array_equal(other.numpy(), bank.numpy())


def test_a_device_with_rows_of_its_own_has_a_file_of_its_own(tmp_path):
    for name, bank_class in (("whole", MemoryBank), ("parts", ShardedMemoryBank)):
        (tmp_path / name).mkdir()
        write_bank(make(bank_class), tmp_path / name)
    assert [p.name for p in (tmp_path / "whole").iterdir()] == ["rows-000000000000.npy"]
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [
        "rows-000000000000.npy",
        "rows-000000000004.npy",
    ]


def test_rows_of_another_precision_are_converted(tmp_path):
    bank = make(MemoryBank, seed=1)
    write_bank(bank, tmp_path)
    other = make(MemoryBank, row_dtype="bfloat16")
    read_bank(other, tmp_path)
    np.testing.assert_allclose(other.numpy(), bank.numpy(), atol=2**-8)


def test_large_banks_are_written_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("npid_tf.banks.files.ROWS_AT_ONCE", 4)
    bank, other = make(MemoryBank, seed=1), make(MemoryBank, seed=2)
    write_bank(bank, tmp_path)
    read_bank(other, tmp_path)
    np.testing.assert_array_equal(other.numpy(), bank.numpy())


def test_weights_without_rows_are_the_others():
    assert other_weights(make(LearnedRows, num_neighbors=2)) == {}
    recent = make(RecentRows, num_recent=5)
    assert other_weights(recent) == {
        "recent": recent.recency.recent,
        "clock": recent.recency.clock,
    }


def test_neighbors_are_read_as_they_were_written(tmp_path):
    rows, other = (LearnedRows(9, 4, num_neighbors=3) for _ in range(2))
    refresh_neighbors(rows)
    write_bank(rows, tmp_path)
    read_bank(other, tmp_path)
    np.testing.assert_array_equal(other.neighbors.numpy(), rows.neighbors.numpy())
