"""Uniform numbers that (seed, epoch, index) determine, for a batch at once."""

import tensorflow as tf


def uniform_draws(seed, epoch, indices, num_draws):
    """Uniform numbers in [0, 1), float32 [..., num_draws].

    seed, epoch: int64 scalars; indices: int64 [...]. TensorFlow's stateless draws take
    one seed a call. This is SplitMix64 (Steele, Lea and Flood 2014), which can start
    anywhere in its sequence: at number index * num_draws of that of (seed, epoch).
    """
    seed = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    start = tf.random.stateless_uniform([], seed, None, None, tf.uint64)
    columns = tf.cast(tf.range(1, num_draws + 1), tf.uint64)
    number = tf.cast(indices, tf.uint64)[..., None] * _uint64(num_draws) + columns
    bits = start + number * _uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ _shifted(bits, 30)) * _uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shifted(bits, 27)) * _uint64(0x94D049BB133111EB)
    bits = bits ^ _shifted(bits, 31)
    # As many bits as float32 holds exactly.
    return tf.cast(_shifted(bits, 40), tf.float32) * 2.0**-24


def _uint64(number):
    return tf.constant(number, tf.uint64)


def _shifted(bits, count):
    return tf.bitwise.right_shift(bits, _uint64(count))
