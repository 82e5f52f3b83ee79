"""Some of the images of a source, as a source of its own."""

import numpy as np
import tensorflow as tf

from npid_tf.data.source import RandomAccess


def subset(source, indices):
    """The images `indices` (int64, ascending) of a source; see source.py.

    Image i of it is image indices[i] of the source. Of a source that is read in order,
    the other images' records are read and left out.
    """
    fingerprint = {**source.fingerprint, "subset": indices.tolist()}
    labels = None if source.labels is None else source.labels[indices]
    if not isinstance(source, RandomAccess):
        return _OfStream(source, indices, fingerprint, labels)
    chosen = tf.constant(indices, tf.int64)
    return RandomAccess(
        read=lambda index: source.read(tf.gather(chosen, index)),
        num_instances=len(indices),
        fingerprint=fingerprint,
        labels=labels,
        class_names=source.class_names,
        image_shape=source.image_shape,
    )


class _OfStream:
    """The images of a `TfdsStream` that are not left out."""

    def __init__(self, source, indices, fingerprint, labels):
        self.num_instances = len(indices)
        self.fingerprint = fingerprint
        self.labels = labels
        self.targets = None
        self.class_names = source.class_names
        self.paths = None
        self.image_shape = source.image_shape
        self.record = source.record
        self._source = source
        numbers = np.full(source.num_instances, -1)  # -1: left out
        numbers[indices] = np.arange(len(indices))
        self._numbers = tf.constant(numbers, tf.int64)

    def in_order(self):
        return self._kept(self._source.in_order())

    def shuffled(self, seed, epoch):
        return self._kept(self._source.shuffled(seed, epoch))

    def _kept(self, dataset):
        dataset = dataset.map(
            lambda index, handle: (tf.gather(self._numbers, index), handle)
        )
        return dataset.filter(lambda index, handle: index >= 0)
