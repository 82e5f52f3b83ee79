"""Checks of the rows that a bank is given, made before one of them is written."""

import numpy as np
import tensorflow as tf

from npid_tf.checks.arguments import whole_number
from npid_tf.errors import UserError


def checked_rows(rows, first, stored):
    """Rows that can replace those stored from `first` on, as an array.

    Args:
        rows: [count, columns], as many columns as the stored ones, finite; where these
            are the numbers of rows, integers.
        first: the number of the first of them; the last one is below stored.num_rows.
        stored: `Rows`.

    Raises:
        UserError: for all else.
    """
    rows, columns = np.asarray(rows), stored.columns
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise UserError(
            f"`rows` must be [num_rows, {columns}]. Received: {list(rows.shape)}."
        )
    check_range(first, first + len(rows), stored.num_rows)
    if tf.as_dtype(stored.dtype).is_integer:
        if rows.dtype.kind not in "iu":
            raise UserError(f"Neighbors must be integers. Received: {rows.dtype}.")
    else:
        rows = as_floats(rows, "rows")
        _check_finite(rows)
    return rows


def checked_units(vectors, stored):
    """Vectors that can replace all those stored, made unit: float64 [num_rows, d].

    Raises UserError for another shape, and for what is not finite in float32.
    """
    vectors = as_floats(vectors, "vectors")
    if vectors.shape != stored.shape:
        raise UserError(
            f"`vectors` must be {list(stored.shape)}, a row for each image. "
            f"Received: {list(vectors.shape)}."
        )
    _check_finite(vectors)
    vectors = vectors.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)


def as_floats(array, name):
    """`array`, whose numbers are real ones. Raises UserError for all else."""
    array = np.asarray(array)
    is_number = array.dtype.kind in "iuf" or array.dtype == tf.bfloat16.as_numpy_dtype
    if not is_number:
        raise UserError(f"`{name}` must be floats. Received: {array.dtype}.")
    return array


def check_range(first, end, num_instances):
    """Raises UserError unless [first, end) are rows of a bank."""
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
