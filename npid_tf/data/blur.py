"""Random Gaussian blur of batches, separable, one sigma per image."""

import tensorflow as tf


def random_blur(images, draws, probability=0.5, sigma=(0.1, 2.0)):
    """Each image blurred with `probability` and a sigma uniform in `sigma`, in pixels.

    images: float32 [batch, height, width, 3]; draws: float32 [batch, 2]. SimCLR's and
    MoCo v2's blur. A pass along an axis is a product with a banded matrix, so that
    images of different sigmas share one matrix product.
    """
    sigmas = sigma[0] + (sigma[1] - sigma[0]) * draws[:, 0]
    # As sigma goes to 0 the matrix becomes the identity: an image left alone.
    sigmas = tf.where(draws[:, 1] < probability, sigmas, 1e-3)
    return gaussian_blur(images, sigmas)


def gaussian_blur(images, sigmas):
    """images: float32 [batch, height, width, channels]; sigmas: float32 [batch]."""
    height, width, channels = images.shape[1:]
    rows = _blur_matrix(height, sigmas)  # [batch, height, height]
    columns = _blur_matrix(width, sigmas)  # [batch, width, width]
    flat = tf.reshape(images, [-1, height, width * channels])
    blurred = tf.reshape(tf.matmul(rows, flat), [-1, height, width, channels])
    return tf.einsum("bwv,bhvc->bhwc", columns, blurred)


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
