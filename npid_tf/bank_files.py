"""The rows of a bank in files, whatever the number of devices that hold them."""

import os

import numpy as np
import tensorflow as tf

from npid_tf.memory_bank import ROWS_AT_ONCE


def write_bank(bank, directory):
    """Writes the rows that this process is to write, as `rows-FIRST.npy`.

    Rows that several processes hold are written by the one with the first replica.
    """
    for first, end, variable in bank.parts_to_write():
        file = np.lib.format.open_memmap(
            os.path.join(directory, f"rows-{first:012d}.npy"),
            mode="w+",
            dtype=_FILE_DTYPES[bank.row_dtype],  # NumPy's files know no bfloat16.
            shape=(end - first, bank.embedding_dim),
        )
        for start in range(0, end - first, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, end - first)
            rows = tf.gather(variable, tf.range(start, stop)).numpy()
            file[start:stop] = rows.view(file.dtype)
        file.flush()


def read_bank(bank, directory):
    """Reads what `write_bank` wrote, every replica the rows that it holds."""
    for name in sorted(os.listdir(directory)):
        if not name.startswith("rows-"):
            continue
        first = int(name.removeprefix("rows-").removesuffix(".npy"))
        rows = np.load(os.path.join(directory, name), mmap_mode="r")
        if rows.dtype == _FILE_DTYPES["bfloat16"]:
            rows = rows.view(tf.bfloat16.as_numpy_dtype)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            bank.write(first + start, rows[start : start + ROWS_AT_ONCE])


_FILE_DTYPES = {"float32": np.dtype("float32"), "bfloat16": np.dtype("uint16")}
