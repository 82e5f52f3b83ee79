"""Small random rotations, shifts and zooms of batches."""

import math

import tensorflow as tf


def random_affine(planes, draws, degrees=15.0, shift=0.1, zoom=0.15):
    """Each image turned, zoomed and moved at random around its centre.

    planes: float32 [batch, 3, height, width]; draws: float32 [batch, 4]. Uniform in
    [-degrees, degrees], [1 - zoom, 1 + zoom] and [-shift, shift] of the side. What
    comes from outside the image repeats its border.
    """
    height, width = planes.shape[2:]
    signed = 2 * draws - 1
    angle = signed[:, 0] * degrees * math.pi / 180
    factor = 1 / (1 + signed[:, 1] * zoom)
    cos, sin = tf.cos(angle) * factor, tf.sin(angle) * factor
    # Output pixel (x, y) comes from (a x + b y + c, d x + e y + f).
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    move_x, move_y = signed[:, 2] * shift * width, signed[:, 3] * shift * height
    c = center_x + move_x - cos * center_x + sin * center_y
    f = center_y + move_y - sin * center_x - cos * center_y
    zero = tf.zeros_like(angle)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.transpose(planes, [0, 2, 3, 1]),
        transforms=tf.stack([cos, -sin, c, sin, cos, f, zero, zero], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    return tf.transpose(moved, [0, 3, 1, 2])
