"""Steps of SGD without a gradient, any number of them in one product."""

import tensorflow as tf


def skip_updates(rows, velocities, num_steps, rates, momentum, weight_decay):
    """Rows and velocities after steps of SGD whose gradient was zero, all at once.

    A step is u <- momentum u + weight_decay w, w <- w - rate u: some matrix A times
    (w, u). So num_steps of them are a power of A (Cao et al. 2020).

    Args:
        rows, velocities: w and u, float [batch, d].
        num_steps: int64 [batch], 0 or more.
        rates: float64 [batch], a learning rate for each row.

    Returns:
        w and u: of the dtype of the rows, [batch, d], computed in float64.
    """
    decays = tf.fill(tf.shape(rates), tf.constant(weight_decay, tf.float64))
    momenta = tf.fill(tf.shape(rates), tf.constant(momentum, tf.float64))
    matrix = tf.stack([1 - rates * decays, -rates * momenta, decays, momenta], axis=1)
    power = _matrix_power(tf.reshape(matrix, [-1, 2, 2]), num_steps)
    states = tf.cast(tf.stack([rows, velocities], axis=1), tf.float64)  # [batch, 2, d]
    states = tf.cast(tf.matmul(power, states), rows.dtype)
    return states[:, 0], states[:, 1]


def _matrix_power(matrices, exponents):
    """matrices ** exponents by squaring: float64 [batch, 2, 2], int64 [batch]."""

    def square(power, base, left):
        is_odd = (left % 2 == 1)[:, None, None]
        return tf.where(is_odd, power @ base, power), base @ base, left // 2

    ones = tf.linalg.eye(2, batch_shape=[tf.shape(matrices)[0]], dtype=tf.float64)
    power, _, _ = tf.while_loop(
        lambda power, base, left: tf.reduce_any(left > 0),
        square,
        [tf.ensure_shape(ones, [None, 2, 2]), matrices, exponents],
        shape_invariants=[
            tf.TensorShape([None, 2, 2]),
            tf.TensorShape([None, 2, 2]),
            tf.TensorShape([None]),
        ],
    )
    return power
