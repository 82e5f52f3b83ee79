"""`RandomAccess`: images that can be read by index, in memory or one file each.

A source has `num_instances`, `labels` (int64 [num_instances] or None), `targets` (int8
[num_instances, num_classes] or None, where an image may have several classes: 1 for
each, -1 for those that are hard to see, else 0), `class_names` (or None), `paths` (or
None), `fingerprint` (what identifies the data), and the methods
`in_order()` and `shuffled(seed, epoch)`, datasets of `(index, handle)`. A handle is
whatever is cheap to pass on, and `record(handle)` turns it into a record: an image,
uint8 [height, width, 3], or the bytes of an image file. `read(index)` is the record of
one image. Index i is the same image in every epoch and after every restart.

`image_shape` is (height, width) where all images have it and `record` turns many
handles into uint8 [batch, height, width, 3] at once, else None.
"""

import tensorflow as tf

from npid_tf.errors import UserError


class RandomAccess:
    """Images that `read(index)` returns, index: int64 scalar tensor.

    The handle of an image is its index: what no worker needs is never read. With
    an `image_shape`, `read` also takes int64 [batch].
    """

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
    ):
        self.read = read
        self.num_instances = num_instances
        self.fingerprint = fingerprint
        self.labels = labels
        self.class_names = class_names
        self.paths = paths
        self.image_shape = image_shape
        self.targets = targets

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


def check_same_classes(source, eval_source):
    """Raises ValueError where two sources number different classes."""
    names, eval_names = source.class_names, eval_source.class_names
    if None not in (names, eval_names) and names != eval_names:
        raise UserError(
            "The images to classify must have the classes of the training images. "
            f"Received: {_abridged(eval_names)}, expected {_abridged(names)}."
        )


def _abridged(names):
    return f"{len(names)} ({', '.join(names[:10])}{', ...' * (len(names) > 10)})"


def check_unchanged(saved, current):
    """Raises ValueError that says what differs between two fingerprints (dicts)."""
    changes = [
        f"{key} was {saved.get(key)}, now {current.get(key)}"
        for key in sorted(saved.keys() | current.keys())
        if saved.get(key) != current.get(key)
    ]
    if changes:
        raise UserError(
            "The data differ from those the checkpoint was trained on: "
            f"{'; '.join(changes)}. Row i of the bank belongs to image i of the old "
            "data: restore the old data, or start in a new --workdir."
        )
