"""Reads the bytes of images inside TensorFlow graphs, wherever they lie."""

import os

import numpy as np
import tensorflow as tf


def reader(items):
    """Function of the number of an `Item`, int64 scalar tensor: its bytes."""
    is_here = np.array([item.reader is None for item in items], bool)
    # Names of any bytes, as the system has them.
    files = tf.constant(
        [os.fsencode(i.path) if i.reader is None else b"" for i in items]
    )

    def from_file(number):
        return tf.io.read_file(tf.gather(files, number))

    def from_place(number):
        content = tf.numpy_function(
            lambda number: items[number].read(), [number], tf.string
        )
        return tf.ensure_shape(content, [])

    if is_here.all():
        return from_file
    if not is_here.any():
        return from_place
    is_here = tf.constant(is_here)
    return lambda number: tf.cond(
        tf.gather(is_here, number),
        lambda: from_file(number),
        lambda: from_place(number),
    )
