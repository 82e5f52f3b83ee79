"""What evaluated and served images go through: resize, central crop, nothing random."""

import tensorflow as tf


def preprocess_for_eval(image, image_size, crop_fraction):
    """Resizes the shorter side to image_size / crop_fraction, keeps the central square.

    image: uint8 [..., height, width, 3]. Returns uint8 [..., image_size, image_size,
    3]; with crop_fraction 1, an image that has this size is returned as it is.
    """
    shape = tf.shape(image)
    height, width = shape[-3], shape[-2]
    shorter = tf.minimum(height, width)
    target = round(image_size / crop_fraction)
    if image.shape[-3:-1] == [image_size, image_size] and target == image_size:
        return image

    def scaled(side):
        return tf.cast(tf.round(side * target / shorter), tf.int32)

    size = tf.stack([scaled(height), scaled(width)])
    resized = tf.image.resize(image, size, antialias=True)  # float32
    resized = tf.saturate_cast(tf.round(resized), tf.uint8)
    top, left = (size[0] - image_size) // 2, (size[1] - image_size) // 2
    square = resized[..., top : top + image_size, left : left + image_size, :]
    return tf.ensure_shape(square, [*image.shape[:-3], image_size, image_size, 3])
