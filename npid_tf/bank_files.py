"""The rows of a bank in files, whatever the number of devices that hold them."""

import os

import numpy as np
import tensorflow as tf

from npid_tf.memory_bank import ROWS_AT_ONCE


def write_bank(bank, directory):
    """Writes the rows that this process is to write, as `NAME-FIRST.npy`.

    Rows that several processes hold are written by the one with the first replica.
    """
    for name, weight in bank.row_weights().items():
        for first, end, variable in bank.parts_to_write(weight):
            path = os.path.join(directory, f"{name}-{first:012d}.npy")
            _write_rows(path, variable, end - first)


def _write_rows(path, variable, count):
    file = np.lib.format.open_memmap(
        path,
        mode="w+",
        # NumPy's files know no bfloat16: its bits are kept as integers.
        dtype=np.uint16 if variable.dtype == tf.bfloat16 else variable.dtype.name,
        shape=(count, variable.shape[1]),
    )
    for start in range(0, count, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, count)
        rows = tf.gather(variable, tf.range(start, stop)).numpy()
        file[start:stop] = rows.view(file.dtype)
    file.flush()


def other_weights(bank):
    """Weights of a bank without rows, alike on all devices: a dict by their names."""
    with_rows = {id(weight) for weight in bank.row_weights().values()}
    return {w.name: w for w in bank.weights if id(w) not in with_rows}


def read_bank(bank, directory):
    """Reads what `write_bank` wrote, every replica the rows that it holds."""
    weights = bank.row_weights()
    for file in sorted(os.listdir(directory)):
        name, _, first = file.removesuffix(".npy").partition("-")
        if name not in weights:
            continue
        rows = np.load(os.path.join(directory, file), mmap_mode="r")
        if rows.dtype == np.uint16:
            rows = rows.view(tf.bfloat16.as_numpy_dtype)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            bank.write(int(first) + start, some, weights[name])
