"""The vectors in the folder of an index, whichever way it keeps them."""

import os

import numpy as np

from npid_tf.errors import FileError, UserError
from npid_tf.search.index_files import REMEDY


class StoredVectors:
    """The vectors of an index as ScaNN wrote them, read from disk as they are needed.

    `vectors[rows]` is float32 [num_rows, dim], of unit length: what was rounded to
    bfloat16 or int8 is not quite, and goes on to be a query or another index.
    """

    def __init__(self, directory, dim):
        def load(name):
            path = os.path.join(directory, name)
            if not os.path.exists(path):
                return None
            try:
                return np.load(path, mmap_mode="r")
            except (ValueError, OSError, EOFError) as error:
                raise FileError(f"{path} is damaged: {error}. {REMEDY}") from error

        if (rows := load("dataset.npy")) is not None:
            self._read = lambda rows: rows
        elif (rows := load("bfloat16_dataset.npy")) is not None:
            self._read = _from_bfloat16
        elif (rows := load("int8_dataset.npy")) is not None:
            multipliers = load("int8_multipliers.npy")
            if multipliers is None:
                path = os.path.join(directory, "int8_multipliers.npy")
                raise FileError(f"{path} is missing. {REMEDY}")
            scale = 1 / multipliers
            self._read = lambda rows: _to_unit_length(rows * scale)
        else:
            raise UserError(f"{directory} holds no vectors. Export again.")
        if dim < 1 or rows.size % dim:
            raise FileError(
                f"{directory} is damaged: {rows.size} numbers are not vectors of "
                f"{dim} dimensions. {REMEDY}"
            )
        self._rows = rows.reshape(-1, dim)

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, rows):
        return self._read(self._rows[rows])


def _from_bfloat16(rows):
    """rows: int16, the upper half of a float32."""
    bits = rows.view(np.uint16).astype(np.uint32) << 16
    return _to_unit_length(bits.view(np.float32))


def _to_unit_length(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
