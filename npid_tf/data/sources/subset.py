"""Some of the images of a source, or all in another order, as a source of its own."""

import copy

import numpy as np
import tensorflow as tf

from npid_tf.data.sources.manifest import fingerprint_of, part_of
from npid_tf.data.sources.source import RandomAccess


def subset(source, indices):
    """The images `indices` (int64, ascending) of a source; see source.py.

    Image i of it is image indices[i] of the source. Nothing else is read.
    """
    fingerprint = {**source.fingerprint, "subset": indices.tolist()}
    labels = None if source.labels is None else source.labels[indices]
    chosen = tf.constant(indices, tf.int64)
    chosen_images = RandomAccess(
        read=lambda index: _read(source, tf.gather(chosen, index)),
        num_instances=len(indices),
        fingerprint=fingerprint,
        labels=labels,
        class_names=source.class_names,
        image_shape=source.image_shape,
    )
    chosen_images.decoding = source.decoding
    return chosen_images


def arranged(source, order):
    """The images `order` (int64, each at most once) of a source with a manifest, as
    images of the same kind: with their paths, and the fingerprint of all that are left.
    """
    if np.array_equal(order, np.arange(source.num_instances)):
        return source
    part = copy.copy(source)
    chosen = tf.constant(order, tf.int64)
    part.read = lambda index: source.read(tf.gather(chosen, index))
    part.num_instances = len(order)
    part.labels = None if source.labels is None else source.labels[order]
    part.paths = [source.paths[number] for number in order]
    part.manifest = part_of(source.manifest, order)
    part.fingerprint = source.fingerprint | fingerprint_of(part.manifest)
    return part


def _read(source, index):
    if isinstance(source, RandomAccess):
        return source.read(index)
    # Records of a `TfdsStream` are found by their places, outside of the graph.
    record = tf.numpy_function(
        lambda index: source.read(index).numpy(), [index], tf.string
    )
    return tf.ensure_shape(record, [])
