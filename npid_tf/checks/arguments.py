"""Checks of the numbers that constructors are given, in Keras's words."""

import math
import os

import numpy as np

from npid_tf.errors import UserError

INT64 = range(-(2**63), 2**63)


def whole_number(name, value, least):
    """`value` as an int, at least `least`; of NumPy's integers as well.

    Raises ValueError for all else: 4.0, True, "4" and None are no whole numbers.
    """
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole:
        raise UserError(f"`{name}` must be an integer. Received: {value!r}.")
    if value < least:
        raise UserError(f"`{name}` must be at least {least}. Received: {value}.")
    return int(value)


def seed_number(value, name="seed"):
    """`value` as an int that int64 holds. Raises ValueError for all else."""
    value = whole_number(name, value, INT64.start)
    if value not in INT64:
        raise UserError(f"`{name}` must fit in int64. Received: {value}.")
    return value


def finite_number(name, value, least=0.0, expected=None):
    """`value` as a float, finite and at least `least`.

    expected: how the range is told, where it is not "at least" that.
    Raises ValueError for all else: NaN, infinity, True and "1" are no such numbers.
    """
    is_finite = is_real(value) and math.isfinite(value)
    if not is_finite or value < least:
        expected = expected or f"a number of at least {least:g}"
        raise UserError(f"`{name}` must be {expected}. Received: {value!r}.")
    return float(value)


def positive_number(name, value):
    """`value` as a float, finite and above 0. Raises ValueError for all else."""
    smallest = np.finfo(np.float32).tiny  # A smaller one is 0 in float32.
    return finite_number(name, value, smallest, "a number above 0")


def part_of_one(name, value):
    """`value` as a float in [0, 1). Raises ValueError for all else, NaN among it."""
    if not is_real(value) or not 0 <= value < 1:
        raise UserError(f"`{name}` must be in [0, 1). Received: {value}.")
    return float(value)


def one_of(name, value, known):
    """`value`, which is one of the strings `known`. Raises ValueError for all else."""
    if not isinstance(value, str) or value not in known:
        raise UserError(f"Unknown {name} {value!r}. Known: {', '.join(known)}.")
    return value


def folder_path(name, value):
    """The path of a folder as a str. Raises ValueError for what is no path."""
    if not isinstance(value, (str, os.PathLike)):
        raise UserError(f"`{name}` must be the path of a folder. Received: {value!r}.")
    return os.fspath(value)


def is_real(value):
    """Whether it is a number, of Python's or NumPy's, and no bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
        value, bool
    )
