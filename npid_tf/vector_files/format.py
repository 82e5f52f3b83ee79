"""What a file of embeddings holds, whatever its format."""

import hashlib
import typing
from collections.abc import Callable

import numpy as np

from npid_tf.errors import FileError
from npid_tf.files.formats import check_format

ROWS_AT_ONCE = 4096
NO_CLASS = -1


class Vectors(typing.NamedTuple):
    """Embeddings of some images.

    embeddings: float32 [n, dim], in memory or in a file; ids: n texts; labels: int64
    [n], -1 for none, or None; class_names: the name of each label, or None where the
    numbers are the names; about: dict of what made them: `encoder_hash`, and the format
    of `files.formats`. That of others' files is empty.
    """

    embeddings: np.ndarray
    ids: list
    labels: np.ndarray | None = None
    class_names: tuple | None = None
    about: dict = {}

    def label_texts(self):
        """The class of each as text, None for none; None where there are no labels."""
        if self.labels is None:
            return None
        names = self.class_names
        return [
            None if label < 0 else str(label) if names is None else names[label]
            for label in self.labels.tolist()
        ]


class Format(typing.NamedTuple):
    """One way to write them.

    suffix: how the file's name ends; write: (path, Vectors) -> None, in little memory,
    the file whole or not at all; read: path -> Vectors.
    """

    suffix: str
    write: Callable
    read: Callable


def blocks(embeddings):
    """(first row, float32 [rows, dim]) of some rows after the other."""
    for first in range(0, len(embeddings), ROWS_AT_ONCE):
        some = embeddings[first : first + ROWS_AT_ONCE]
        yield first, np.ascontiguousarray(some, "<f4")


def checked(path, embeddings, ids, labels, class_names, about):
    """`Vectors` of what a file held. Raises FileError where it does not fit."""
    if about:
        check_format(about, "embeddings", path)
    if (
        embeddings.ndim != 2
        or embeddings.dtype.kind not in "fiu"
        or not embeddings.size
    ):
        raise FileError(
            f"{path} must hold embeddings, numbers [n, dim]. Received: "
            f"{embeddings.dtype} {list(embeddings.shape)}."
        )
    if embeddings.dtype != np.float32:
        embeddings = embeddings.astype(np.float32)
    ids = list(map(str, range(len(embeddings)))) if ids is None else ids
    for name, values in (("ids", ids), ("labels", labels)):
        if values is not None and len(values) != len(embeddings):
            raise FileError(
                f"{path} must hold one of `{name}` for each of its {len(embeddings)} "
                f"embeddings. Received: {len(values)}."
            )
    return Vectors(embeddings, ids, labels, class_names, about)


def numbered(texts, class_names=None):
    """(labels, class_names) of classes as text or whole numbers, None for none.

    class_names: of all classes, where they are known; None: those there are, sorted.
    Whole numbers stay as they are: their class_names are None.
    """
    if all(text is None for text in texts):
        return None, None
    if class_names is None and all(
        text is None or isinstance(text, int) for text in texts
    ):
        return np.array([NO_CLASS if t is None else t for t in texts], np.int64), None
    if class_names is None:
        class_names = sorted({str(text) for text in texts if text is not None})
    known = {name: number for number, name in enumerate(class_names)}
    labels = [
        NO_CLASS if t is None else known.setdefault(str(t), len(known)) for t in texts
    ]
    return np.array(labels, np.int64), tuple(known)


def digest_of_ids(ids):
    """A text that differs between other ids, or ids in another order."""
    digest = hashlib.sha256()
    for name in ids:
        digest.update(f"{name!a}\n".encode())
    return digest.hexdigest()
