"""Vectors made elsewhere, as an index takes them: unit length, each id once."""

import collections

import numpy as np

from npid_tf.errors import UserError
from npid_tf.vector_files.format import blocks

MOST_NAMED = 3
ROUNDING = 5e-3  # Of bfloat16, in a unit vector.


def to_unit_length(vectors):
    """(float32 [n, dim] of unit length, the least and the greatest length before).

    vectors: `Vectors`. Raises UserError, which names rows, for a number that is not
    finite, a vector of zeros, which has no direction, and an id that is there twice.
    """
    _check_ids(vectors.ids)
    unit = np.empty(vectors.embeddings.shape, np.float32)
    least, greatest = np.inf, 0.0
    for first, block in blocks(vectors.embeddings):
        lengths = np.linalg.norm(block, axis=1)
        is_finite = np.isfinite(block).all(axis=1)
        _refuse(vectors.ids, first, ~is_finite, "must be finite")
        _refuse(vectors.ids, first, lengths == 0, "must not be all zeros")
        unit[first : first + len(block)] = block / lengths[:, None]
        least = min(least, float(lengths.min()))
        greatest = max(greatest, float(lengths.max()))
    return unit, (least, greatest)


def is_unit(least, greatest):
    """Whether lengths differ from 1 by rounding alone."""
    return max(abs(least - 1), abs(greatest - 1)) <= ROUNDING


def _check_ids(ids):
    repeated = [name for name, count in collections.Counter(ids).items() if count > 1]
    if repeated:
        raise UserError(
            f"Ids must be unique. Received: {len(repeated)} that are there more than "
            f"once ({_first(map(repr, repeated))})."
        )


def _refuse(ids, first, is_bad, expected):
    rows = first + np.flatnonzero(is_bad)
    if len(rows):
        named = _first(f"row {row}, {ids[row]!r}" for row in rows)
        raise UserError(f"Embeddings {expected}. Received: {named}.")


def _first(texts):
    texts = list(texts)
    return "; ".join(texts[:MOST_NAMED]) + "; ..." * (len(texts) > MOST_NAMED)
