"""What may be wrong with rows that a bank is given, told before one is written."""

import numpy as np
import tensorflow as tf

from npid_tf.checks.arguments import whole_number
from npid_tf.errors import UserError


def checked_rows(rows, first, weight, num_instances):
    """Rows that can replace those of a bank's weight from `first` on, as an array.

    Args:
        rows: [num_rows, columns], of the weight's columns, finite; where the weight
            holds the numbers of rows, integers.
        first: the number of the first of them; the last one is below num_instances.
        weight: that they are for.

    Raises:
        ValueError: for all else.
    """
    rows, columns = np.asarray(rows), weight.shape[1]
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise UserError(
            f"`rows` must be [num_rows, {columns}]. Received: {list(rows.shape)}."
        )
    check_range(first, first + len(rows), num_instances)
    dtype = tf.as_dtype(weight.dtype)
    if dtype.is_integer:
        if rows.dtype.kind not in "iu":
            raise UserError(f"Neighbors must be integers. Received: {rows.dtype}.")
    else:
        rows = as_floats(rows, "rows")
        _check_finite(rows)
    return rows


def checked_vectors(vectors, num_instances, embedding_dim):
    """All rows of a bank, not yet of unit length: float64 [num_instances, d].

    Raises ValueError for another shape, and for what is not finite in float32.
    """
    vectors = as_floats(vectors, "vectors")
    if vectors.shape != (num_instances, embedding_dim):
        raise UserError(
            f"`vectors` must be [{num_instances}, {embedding_dim}], a row for each "
            f"image. Received: {list(vectors.shape)}."
        )
    _check_finite(vectors)
    return vectors.astype(np.float64)


def as_floats(array, name):
    """`array`, whose numbers are real ones. Raises ValueError for all else."""
    array = np.asarray(array)
    is_number = array.dtype.kind in "iuf" or array.dtype == tf.bfloat16.as_numpy_dtype
    if not is_number:
        raise UserError(f"`{name}` must be floats. Received: {array.dtype}.")
    return array


def check_range(first, end, num_instances):
    """Raises ValueError unless [first, end) are rows of a bank."""
    whole_number("first", first, 0)
    if not first <= end <= num_instances:
        raise UserError(
            f"Rows must be in [0, {num_instances}), the bank's. Received: those from "
            f"{first} to {end}."
        )


def _check_finite(rows):
    with np.errstate(over="ignore"):  # What float32 cannot hold is told of below.
        is_finite = np.isfinite(rows.astype(np.float32)).all(axis=1)
    if not is_finite.all():
        raise UserError(
            "Rows must be finite. Received: NaN or infinity in "
            f"{np.count_nonzero(~is_finite)} of {len(rows)}, the first of them "
            f"{int(np.argmin(is_finite))}."
        )
