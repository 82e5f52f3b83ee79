"""The random rows that a bank starts with, by name."""

import tensorflow as tf

from npid_tf.banks.rows import blocks_of


def _uniform(shape, seed):
    limit = (3 / shape[1]) ** 0.5  # s = 1 / sqrt(d / 3): rows of about unit length
    return tf.random.stateless_uniform(shape, seed, minval=-limit, maxval=limit)


# Functions of a shape and a seed [2], whose rows are normalized. To add one: a line.
INITIALIZERS = {"uniform": _uniform, "normal": tf.random.stateless_normal}


def write_first_rows(rows, initializer: str, seed: int):
    """Fills `Rows` with random unit vectors, the same on any number of devices."""
    draw = INITIALIZERS[initializer]
    for number, (first, end) in enumerate(blocks_of(rows.num_rows)):
        drawn = draw((end - first, rows.columns), [seed, number])
        rows.write(first, tf.math.l2_normalize(drawn, axis=1))
