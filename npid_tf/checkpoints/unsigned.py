"""Checkpoints of before formats, which have no manifest: what can be checked of them.

TensorFlow's files of weights have checksums of their own. Rows have none: a row of
zeros, or of what is no number, is one that training never writes.
"""

import os

import numpy as np
import tensorflow as tf

from npid_tf.errors import FileError


def check_unsigned(path, rows_files):
    """Raises FileError where a weight or a row cannot be as it was written.

    rows_files: {name of the weight: [RowsFile]}, all of them.
    """
    _read_weights(os.path.join(path, "variables"))
    for name, files in rows_files.items():
        for file in files:
            for _, rows in file.blocks():
                rows = rows.astype(np.float64)
                is_wrong = ~np.isfinite(rows).all(axis=1)
                if name == "rows":
                    is_wrong |= ~rows.any(axis=1)
                if is_wrong.any():
                    raise FileError(
                        f"{file.path} is damaged: {is_wrong.sum():,} rows of zeros, or "
                        "not finite."
                    )
    print(
        f"Note: {path} was written by an older npid_tf, without checksums: what can "
        "be seen of it is whole.",
        flush=True,
    )


def _read_weights(prefix):
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    # TensorFlow translates some of its statuses, and leaves others to pybind.
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        text = getattr(error, "message", None) or error
        raise FileError(f"{prefix} is damaged: {text}") from error
