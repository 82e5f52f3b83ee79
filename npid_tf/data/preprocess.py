"""What evaluated and served images go through: resize, central crop, nothing random."""

import tensorflow as tf

# How many times as long as broad an image is resized at most: what lies further from
# the middle is cut off before, or a line of pixels would become gigabytes.
LONGEST = 8


def preprocess_for_eval(image, image_size, crop_fraction):
    """Resizes the shorter side to image_size / crop_fraction, keeps the central square.

    image: uint8 [..., height, width, 3]. Returns uint8 [..., image_size, image_size,
    3]; with crop_fraction 1, an image that has this size is returned as it is.
    """
    target = round(image_size / crop_fraction)
    if image.shape[-3:-1] == [image_size, image_size] and target == image_size:
        return image
    leading = image.shape[:-3]
    image = _without_far_ends(image)
    shape = tf.shape(image)
    height, width = shape[-3], shape[-2]
    shorter = tf.minimum(height, width)

    def scaled(side):
        return tf.cast(tf.round(side * target / shorter), tf.int32)

    size = tf.stack([scaled(height), scaled(width)])
    resized = tf.image.resize(image, size, antialias=True)  # float32
    resized = tf.saturate_cast(tf.round(resized), tf.uint8)
    top, left = (size[0] - image_size) // 2, (size[1] - image_size) // 2
    square = resized[..., top : top + image_size, left : left + image_size, :]
    return tf.ensure_shape(square, [*leading, image_size, image_size, 3])


def _without_far_ends(image):
    """The image, at most LONGEST + 2 times as long as broad.

    What is cut off each end is a multiple of the shorter side, a whole number of pixels
    at every size: the central square and the pixels around it that resizing looks at
    stay where they were.
    """
    shape = tf.shape(image)
    height, width = shape[-3], shape[-2]
    shorter = tf.maximum(tf.minimum(height, width), 1)
    over = tf.stack([height, width]) - LONGEST * shorter
    top, left = tf.unstack(tf.maximum(over, 0) // (2 * shorter) * shorter)
    return image[..., top : height - top, left : width - left, :]
