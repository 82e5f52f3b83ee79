"""Some of the images of a source, as a source of its own."""

import tensorflow as tf

from npid_tf.data.sources.source import RandomAccess


def subset(source, indices):
    """The images `indices` (int64, ascending) of a source; see source.py.

    Image i of it is image indices[i] of the source. Nothing else is read.
    """
    fingerprint = {**source.fingerprint, "subset": indices.tolist()}
    labels = None if source.labels is None else source.labels[indices]
    chosen = tf.constant(indices, tf.int64)
    return RandomAccess(
        read=lambda index: _read(source, tf.gather(chosen, index)),
        num_instances=len(indices),
        fingerprint=fingerprint,
        labels=labels,
        class_names=source.class_names,
        image_shape=source.image_shape,
    )


def _read(source, index):
    if isinstance(source, RandomAccess):
        return source.read(index)
    # Records of a `TfdsStream` are found by their places, outside of the graph.
    record = tf.numpy_function(
        lambda index: source.read(index).numpy(), [index], tf.string
    )
    return tf.ensure_shape(record, [])
