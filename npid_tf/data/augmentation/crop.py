"""Random resized crop, as torchvision's RandomResizedCrop."""

import math

import tensorflow as tf

NUM_TRIES = 10
NUM_DRAWS = 2 * NUM_TRIES + 2


def random_box(draws, height, width, scale, ratio=(3 / 4, 4 / 3)):
    """A random part of an image: area in `scale`, log aspect ratio uniform in `ratio`.

    draws: float32 [..., NUM_DRAWS], uniform in [0, 1). height, width: int32 scalars.
    Returns (top, left, height, width), int32 [...] each. Of ten tries the first that
    fits is taken; if none does, the largest central part with an allowed ratio.
    """
    full_height, full_width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    area = full_height * full_width * _between(draws[..., :NUM_TRIES], *scale)
    log_ratio = _between(
        draws[..., NUM_TRIES : 2 * NUM_TRIES], math.log(ratio[0]), math.log(ratio[1])
    )
    aspect = tf.exp(log_ratio)
    heights = tf.round(tf.sqrt(area / aspect))  # [..., NUM_TRIES]
    widths = tf.round(tf.sqrt(area * aspect))
    fits = (
        (heights >= 1)
        & (heights <= full_height)
        & (widths >= 1)
        & (widths <= full_width)
    )
    is_try = tf.reduce_any(fits, axis=-1)
    first = tf.argmax(fits, axis=-1)
    whole = tf.clip_by_value(full_width / full_height, ratio[0], ratio[1])

    def chosen(sides, fallback):
        sides = tf.gather(sides, first, axis=-1, batch_dims=sides.shape.rank - 1)
        return tf.where(is_try, sides, fallback)

    def start(full, side, draw):
        # A try is anywhere, the fallback central.
        return tf.floor(tf.where(is_try, draw * (full - side + 1), (full - side) / 2))

    crop_height = chosen(heights, tf.minimum(full_height, tf.round(full_width / whole)))
    crop_width = chosen(widths, tf.minimum(full_width, tf.round(full_height * whole)))
    top = start(full_height, crop_height, draws[..., -2])
    left = start(full_width, crop_width, draws[..., -1])
    return tuple(tf.cast(x, tf.int32) for x in (top, left, crop_height, crop_width))


def sides(images):
    """Height and width of [batch, height, width, 3], known now or in the graph."""
    dynamic = tf.shape(images)
    return [images.shape[axis] or dynamic[axis] for axis in (1, 2)]


def crop_and_resize(images, boxes, size):
    """A part of each image, resized bilinearly, as `tf.image.resize` does it.

    images: uint8 [batch, height, width, 3]; boxes: (top, left, height, width), int32
    [batch] each. Returns float32 [batch, 3, size, size], 0..255. Each pass is a product
    with matrices, so that parts of different sizes are one operation.
    """
    top, left, height, width = boxes
    full_height, full_width = sides(images)
    rows = _bilinear_matrix(top, height, full_height, size)[:, None]
    columns = _bilinear_matrix(left, width, full_width, size)[:, None]
    planes = tf.transpose(tf.cast(images, tf.float32), [0, 3, 1, 2])
    return tf.matmul(tf.matmul(rows, planes), columns, transpose_b=True)


def _bilinear_matrix(start, length, full, size):
    """What each of `full` pixels adds to each of `size`. [batch, size, full]."""
    start = tf.cast(start, tf.float32)[:, None]
    length = tf.cast(length, tf.float32)[:, None]
    position = (tf.range(size, dtype=tf.float32) + 0.5) * (length / size) - 0.5
    position = start + tf.clip_by_value(position, 0.0, length - 1)  # [batch, size]
    pixels = tf.cast(tf.range(full), tf.float32)
    return tf.nn.relu(1 - tf.abs(position[:, :, None] - pixels))


def _between(draws, low, high):
    return low + (high - low) * draws
