"""Random resized crop, as torchvision's RandomResizedCrop."""

import math

import tensorflow as tf

NUM_TRIES = 10
NUM_DRAWS = 2 * NUM_TRIES + 2


def random_box(draws, height, width, scale, ratio=(3 / 4, 4 / 3)):
    """A random part of an image: area in `scale`, log aspect ratio uniform in `ratio`.

    draws: float32 [NUM_DRAWS], uniform in [0, 1). height, width: int32 scalars.
    Returns int32 (top, left, height, width). Of ten tries the first that fits is
    taken; where none does, the largest central part with an allowed ratio.
    """
    full_height, full_width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    area = full_height * full_width * _between(draws[:NUM_TRIES], *scale)
    log_ratio = _between(
        draws[NUM_TRIES : 2 * NUM_TRIES], math.log(ratio[0]), math.log(ratio[1])
    )
    aspect = tf.exp(log_ratio)
    heights = tf.round(tf.sqrt(area / aspect))
    widths = tf.round(tf.sqrt(area * aspect))
    fits = (
        (heights >= 1)
        & (heights <= full_height)
        & (widths >= 1)
        & (widths <= full_width)
    )
    # The fallback stands behind the tries, where argmax finds it if none fits.
    whole = tf.clip_by_value(full_width / full_height, ratio[0], ratio[1])
    fallback_height = tf.minimum(full_height, tf.round(full_width / whole))
    fallback_width = tf.minimum(full_width, tf.round(full_height * whole))
    heights = tf.concat([heights, [fallback_height]], axis=0)
    widths = tf.concat([widths, [fallback_width]], axis=0)
    first = tf.argmax(tf.concat([fits, [True]], axis=0))
    crop_height, crop_width = heights[first], widths[first]
    # The fallback is central, a try is anywhere.
    is_try = first < NUM_TRIES
    position = tf.where(is_try, draws[-2:], [0.5, 0.5])
    room = tf.stack([full_height - crop_height, full_width - crop_width])
    top_left = tf.floor(position * (room + tf.cast(is_try, tf.float32)))
    box = tf.concat([top_left, [crop_height, crop_width]], axis=0)
    return tuple(tf.unstack(tf.cast(box, tf.int32)))


def _between(draws, low, high):
    return low + (high - low) * draws
