"""Random Gaussian blur of batches, separable, one sigma per image."""

import tensorflow as tf


def random_blur(planes, draws, probability=0.5, sigma=(0.1, 2.0)):
    """Each image blurred with `probability` and a sigma uniform in `sigma`, in pixels.

    planes: float32 [batch, 3, height, width]; draws: float32 [batch, 2]. SimCLR's and
    MoCo v2's blur. A pass along an axis is a product with a banded matrix, so that
    images of different sigmas share one matrix product.
    """
    chosen = tf.where(draws[:, 1] < probability)  # [chosen, 1]
    sigmas = sigma[0] + (sigma[1] - sigma[0]) * tf.gather_nd(draws[:, 0], chosen)
    blurred = gaussian_blur(tf.gather_nd(planes, chosen), sigmas)
    return tf.tensor_scatter_nd_update(planes, chosen, blurred)


def gaussian_blur(planes, sigmas):
    """planes: float32 [batch, channels, height, width]; sigmas: float32 [batch]."""
    height, width = planes.shape[2:]
    rows = _blur_matrix(height, sigmas)[:, None]  # [batch, 1, height, height]
    columns = _blur_matrix(width, sigmas)[:, None]  # [batch, 1, width, width]
    return tf.matmul(tf.matmul(rows, planes), columns, transpose_b=True)


def _blur_matrix(size, sigmas):
    """Row i weighs the pixels that make pixel i; borders reflect. [batch, size, size].

    The kernel is not cut off: what is far away has weight 0 in float32.
    """
    position = tf.range(size, dtype=tf.float32)
    variance = 2 * tf.square(sigmas)[:, None, None]

    def weights(source):
        offset = tf.abs(source[None, :] - position[:, None])  # [size, size]
        return tf.exp(-tf.square(offset) / variance)

    last = size - 1.0
    reflected_low = tf.where(position > 0, weights(-position), 0.0)
    reflected_high = tf.where(position < last, weights(2 * last - position), 0.0)
    matrix = weights(position) + reflected_low + reflected_high
    return matrix / tf.reduce_sum(matrix, axis=2, keepdims=True)
