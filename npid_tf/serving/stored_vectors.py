"""The vectors in the folder of an index, whichever way it keeps them."""

import os

import numpy as np

from npid_tf.errors import UserError


class StoredVectors:
    """The vectors of an index as ScaNN wrote them, read from disk as they are needed.

    `vectors[rows]` is float32 [num_rows, dim], of unit length: what was rounded to
    bfloat16 or int8 is not quite, and goes on to be a query or another index.
    """

    def __init__(self, directory, dim):
        def load(name):
            path = os.path.join(directory, name)
            return np.load(path, mmap_mode="r") if os.path.exists(path) else None

        if (rows := load("dataset.npy")) is not None:
            self._read = lambda rows: rows
        elif (rows := load("bfloat16_dataset.npy")) is not None:
            self._read = _from_bfloat16
        elif (rows := load("int8_dataset.npy")) is not None:
            scale = 1 / load("int8_multipliers.npy")
            self._read = lambda rows: _to_unit_length(rows * scale)
        else:
            raise UserError(f"{directory} holds no vectors. Export again.")
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
