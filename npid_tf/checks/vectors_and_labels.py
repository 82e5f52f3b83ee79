"""Vectors and labels, checked before anything is computed of them."""

import numpy as np
from numpy.typing import ArrayLike

from npid_tf.errors import UserError


def check_vectors(vectors, name, labels=None, rows_at_once=65_536):
    """Raises ValueError unless vectors are numbers [num_vectors, dim], all finite, and
    labels, where there are some, as many.

    They are read in parts, since they may be on disk.
    """
    kind = getattr(vectors, "dtype", np.dtype(object)).kind
    if kind not in "fiu" or vectors.ndim != 2:
        raise UserError(
            f"`{name}` must be numbers [num_vectors, dim]. Received: "
            f"{getattr(vectors, 'dtype', type(vectors).__name__)} "
            f"{list(np.shape(vectors))}."
        )
    if labels is not None and len(labels) != len(vectors):
        raise UserError(
            f"`{name}` must have a label each. Received: {len(vectors)} vectors, "
            f"{len(labels)} labels."
        )
    for start in range(0, len(vectors), rows_at_once):
        if not np.isfinite(vectors[start : start + rows_at_once]).all():
            raise UserError(
                f"`{name}` must be finite. Received: NaN or infinity from row {start} "
                "on. Of an encoder: its training diverged."
            )


def checked_labels(
    labels: ArrayLike, name: str, num_classes: int | None = None, least: int = 0
) -> np.ndarray:
    """Labels as an int64 array [num_labels]; [num_labels, 1], as Keras's data sets have
    them, will do.

    Raises ValueError for floats, another shape, and those below `least` or not below
    `num_classes`.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UserError(
            f"`{name}` must be integers, one for each image. Received: {labels.dtype} "
            f"{list(labels.shape)}."
        )
    highest = np.iinfo(np.int64).max if num_classes is None else num_classes - 1
    if len(labels) and (labels.min() < least or labels.max() > highest):
        below = "" if num_classes is None else f" and below {num_classes}"
        raise UserError(
            f"`{name}` must be at least {least}{below}: an image without a label "
            f"cannot be judged. Received: {labels.min()} to {labels.max()}."
        )
    return labels.astype(np.int64)


def dense_labels(*arrays):
    """The same labels as numbers from 0 on, in their order: large ids cost nothing.

    arrays: int64; -1, no label, stays. Returns (classes, arrays): the distinct labels,
    ascending, and each array with their positions.
    """
    classes = np.unique(np.concatenate([np.asarray(array) for array in arrays]))
    classes = classes[classes >= 0]
    found = [
        np.where(array >= 0, np.searchsorted(classes, array), -1) for array in arrays
    ]
    return classes, found
