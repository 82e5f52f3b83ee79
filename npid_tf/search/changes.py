"""Changes to a live index: their checks, and their bytes in the log."""

import dataclasses
import json

import numpy as np
from numpy.typing import ArrayLike

from npid_tf.errors import UserError
from npid_tf.errors.printable import is_unicode

# Rounding makes embeddings differ from unit length by up to 4e-3, in bfloat16. What
# differs by more is something else, such as features before the projection.
UNIT_TOLERANCE = 5e-3
MAX_LENGTH = 4096  # Characters of an id or label.


@dataclasses.dataclass(frozen=True)
class Upsert:
    """Adds items, or replaces those with the same ids.

    ids: list of str; vectors: float32 [num_items, dim]; labels: list of str or None.
    """

    ids: list
    vectors: np.ndarray
    labels: list

    def encode(self):
        head = {"upsert": self.ids, "labels": self.labels}
        vectors = np.ascontiguousarray(self.vectors, "<f4")
        return json.dumps(head).encode() + b"\n" + vectors.tobytes()


@dataclasses.dataclass(frozen=True)
class Delete:
    """Deletes items. ids: list of str."""

    ids: list

    def encode(self):
        return json.dumps({"delete": self.ids}).encode() + b"\n"


def decode(payload, dim):
    """The Upsert or Delete of bytes that `encode` returned."""
    head, _, rest = payload.partition(b"\n")
    change = json.loads(head)
    if "delete" in change:
        return Delete(change["delete"])
    vectors = np.frombuffer(rest, "<f4").reshape(-1, dim).astype(np.float32)
    return Upsert(change["upsert"], vectors, change["labels"])


def change_ids(ids, payload):
    """Applies an encoded change to a set of ids."""
    change = json.loads(payload.partition(b"\n")[0])
    ids.update(change.get("upsert", []))
    ids.difference_update(change.get("delete", []))


def make_upsert(ids, embeddings, labels, dim):
    """An Upsert of a caller's arguments.

    Raises ValueError for ids that are not text or not unique, and for embeddings that
    `check_embeddings` refuses or that are not one per id.
    """
    ids = check_ids(ids)
    repeated = len(ids) - len(set(ids))
    if repeated:
        raise UserError(
            f"`ids` must be unique. Received: {repeated} duplicates of {len(ids)}."
        )
    vectors = check_embeddings(embeddings, dim)
    labels = [None] * len(ids) if labels is None else list(labels)
    if not len(ids) == len(vectors) == len(labels):
        raise UserError(
            "Expected one embedding, and one label if any, per id. Received: "
            f"{len(ids)} ids, {len(vectors)} embeddings, {len(labels)} labels."
        )
    for label in labels:
        is_text = isinstance(label, str) and len(label) <= MAX_LENGTH
        if is_text and not is_unicode(label):
            raise UserError(
                "A label must be Unicode text, without lone surrogates. Received: "
                f"{label[:80]!a}."
            )
        if label is not None and not is_text:
            raise UserError(
                f"A label must be None or a str of at most {MAX_LENGTH} characters. "
                f"Received: {repr(label)[:80]}."
            )
    return Upsert(ids, vectors, labels)


def check_ids(ids):
    """A list of ids. Raises ValueError for one that is not text, empty or too long."""
    if isinstance(ids, str):
        raise UserError(f"Pass a list of ids. Received one str: {ids[:80]!r}.")
    ids = list(ids)
    for name in ids:
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_LENGTH:
            shown = repr(name)[:80]
            raise UserError(
                f"An id must be a str of 1 to {MAX_LENGTH} characters. Received: "
                f"{shown}."
            )
    return ids


def check_embeddings(embeddings: ArrayLike, dim: int | None = None) -> np.ndarray:
    """float32 [num_items, dim] of embeddings; dim: that of the index, None: any.

    Raises ValueError for another shape, NaN, infinity, or vectors without unit length.
    They are refused, not normalized: they come from another encoder, or were taken
    before its normalization, and their similarities would mean nothing.
    """
    try:
        vectors = np.array(embeddings, np.float32, order="C")  # ScaNN needs C order.
    except (TypeError, ValueError) as error:
        raise UserError(
            f"Embeddings must be numbers [num_items, dim]. Received: {error}."
        ) from error
    if dim is None and vectors.ndim != 2:
        raise UserError(
            "Embeddings must be numbers [num_items, dim]. Received the shape "
            f"{list(vectors.shape)}."
        )
    if dim is not None and (vectors.ndim != 2 or vectors.shape[1] != dim):
        raise UserError(
            f"The index holds embeddings of {dim} dimensions: expected shape "
            f"[num_items, {dim}]. Received: {list(vectors.shape)}."
        )
    if not np.isfinite(vectors).all():
        raise UserError("Embeddings must be finite. Received NaN or infinity.")
    lengths = np.linalg.norm(vectors, axis=1)
    if (np.abs(lengths - 1) > UNIT_TOLERANCE).any():
        worst = lengths[np.argmax(np.abs(lengths - 1))]
        raise UserError(
            f"Embeddings must have unit length. Received one of length {worst:.4g}. "
            "Pass what the exported encoder returns."
        )
    return vectors
