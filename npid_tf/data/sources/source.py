"""`RandomAccess`: images that can be read by index, in memory or one file each.

A source has `num_instances`, `labels` (int64 [num_instances] or None), `targets` (int8
[num_instances, num_classes] or None, if an image may have several classes: 1 for
each, -1 for those that are hard to see, else 0), `class_names` (or None), `paths` (or
None), `fingerprint` (what identifies the data), and the methods
`in_order()` and `shuffled(seed, epoch)`, datasets of `(index, handle)`. A handle is
whatever is cheap to pass on, and `record(handle)` turns it into a record: an image,
uint8 [height, width, 3], or the bytes of an image file. `read(index)` is the record of
one image. Index i is the same image in every epoch and after every restart.

`decoding` says how the bytes of its files become pixels (data/decoding/rules.py).

`keep()` writes, if there is something, what spares later programs reading all of it.
`left_out` tells which files are no images of it, and why (see places/listing.py).
`manifest` tells images apart by their contents (see manifest.py), so that the rows of a
run can follow them; None where they are known by their numbers alone.

`image_shape` is (height, width) if all images have it and `record` turns many
handles into uint8 [batch, height, width, 3] at once, else None.
"""

import copy
import hashlib
import json
import warnings

import numpy as np
import tensorflow as tf

from npid_tf.data.decoding.rules import DEFAULT
from npid_tf.errors import UserError

# Keys that fingerprints of earlier checkpoints lack.
ADDED_SINCE = ("contents", "parts")


class RandomAccess:
    """Images that `read(index)` returns, index: int64 scalar tensor.

    The handle of an image is its index: what no worker needs is never read. With
    an `image_shape`, `read` also takes int64 [batch].
    """

    decoding = DEFAULT

    def __init__(
        self,
        read,
        num_instances,
        fingerprint,
        labels=None,
        class_names=None,
        paths=None,
        image_shape=None,
        targets=None,
        keep=None,
        left_out=(),
        manifest=None,
    ):
        self.read = read
        self.num_instances = num_instances
        self.fingerprint = fingerprint
        self.labels = labels
        self.class_names = class_names
        self.paths = paths
        self.image_shape = image_shape
        self.targets = targets
        self.keep = keep or (lambda: None)
        self.left_out = left_out
        self.manifest = manifest

    def in_order(self):
        """Every `(index, handle)` once, in the order of the indices."""
        indices = tf.data.Dataset.range(self.num_instances)
        return tf.data.Dataset.zip(indices, indices)

    def shuffled(self, seed, epoch):
        """Every `(index, handle)` once, in an order that (seed, epoch) determine.

        seed, epoch: int64 scalars, python numbers or tensors.
        """
        order = tf.random.experimental.stateless_shuffle(
            tf.range(self.num_instances, dtype=tf.int64),
            seed=tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)]),
        )
        return tf.data.Dataset.from_tensor_slices((order, order))

    def record(self, handle):
        """The record that a handle stands for."""
        return self.read(handle)


def digest_of(values):
    """A short text that differs between different lists of texts or numbers."""
    text = json.dumps(values).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def with_classes_of(source, eval_source):
    """`eval_source` with its labels numbered as those of `source`, the training images.

    Some of the classes will do. Of classes that training images lack none can be
    right: that is warned of.

    Raises ValueError if a class has a name that no class of `source` has.
    """
    if source.labels is None or eval_source.labels is None:
        check_same_classes(source, eval_source)
        return eval_source
    names, eval_names = source.class_names, eval_source.class_names
    if names == eval_names or (None in (names, eval_names) and not _are_ids(
            names or eval_names)):  # fmt: skip
        _warn_of_unlearned(source, eval_source)
        return eval_source
    if _are_ids(names) and _are_ids(eval_names):  # None: a label is its own id.
        names, eval_names = _ids_of(source), _ids_of(eval_source)
        present = {eval_names[label] for label in np.unique(eval_source.labels)}
        names += tuple(sorted(present - set(names)))
    elif not set(eval_names) <= set(names):
        check_same_classes(source, eval_source)
    known = {name: number for number, name in enumerate(names)}
    numbers = np.array([known.get(name, -1) for name in eval_names], np.int64)
    eval_source = copy.copy(eval_source)
    eval_source.labels = numbers[eval_source.labels]  # -1: of none of them
    eval_source.class_names = tuple(map(str, names))
    _warn_of_unlearned(source, eval_source)
    return eval_source


def check_same_classes(source, eval_source):
    """Raises ValueError if two sources number different classes."""
    names, eval_names = source.class_names, eval_source.class_names
    if None not in (names, eval_names) and names != eval_names:
        raise UserError(
            "The images to classify must have the classes of the training images. "
            f"Received: {_abridged(eval_names)}, expected {_abridged(names)}."
        )


def _abridged(names):
    return f"{len(names)} ({', '.join(names[:10])}{', ...' * (len(names) > 10)})"


def without_classes(source):
    """Only the images of a source."""
    source = copy.copy(source)
    source.labels = source.class_names = None
    return source


def _are_ids(names):
    return names is None or all(name.isdecimal() for name in names)


def _ids_of(source):
    """The id that each label stands for."""
    if source.class_names is None:
        return tuple(range(int(source.labels.max()) + 1))
    return tuple(map(int, source.class_names))


def _warn_of_unlearned(source, eval_source):
    unlearned = np.setdiff1d(eval_source.labels, source.labels)
    if not len(unlearned):
        return
    names = eval_source.class_names
    told = [str(label) if names is None else names[label] for label in unlearned[:5]]
    count = int(np.isin(eval_source.labels, unlearned).sum())
    warnings.warn(
        f"{count} of the {len(eval_source.labels)} images to classify are of "
        f"{len(unlearned)} classes without any training image: {', '.join(told)}"
        f"{', ...' * (len(unlearned) > 5)}. All of them will count as wrong.",
        stacklevel=3,
    )


def check_unchanged(saved, current):
    """Raises ValueError that says what differs between two fingerprints (dicts)."""
    changes = [
        f"{key} was {saved.get(key)}, now {current.get(key)}"
        for key in sorted(saved.keys() | current.keys())
        if saved.get(key) != current.get(key)
        and not (key in ADDED_SINCE and key not in saved)
    ]
    if changes:
        raise UserError(
            "The data differ from those the checkpoint was trained on: "
            f"{'; '.join(changes)}. Row i of the bank belongs to image i of the old "
            "data: restore the old data, or start in a new --workdir."
        )
