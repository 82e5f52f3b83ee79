"""From the bytes of an image file to pixels, inside TensorFlow graphs."""

import tensorflow as tf


def decode(image_bytes):
    """The image in a JPEG, PNG, BMP or GIF (its first frame).

    image_bytes: scalar string. Returns uint8 [height, width, 3]; grey is repeated in
    three channels and transparency dropped. Raises InvalidArgumentError in the graph
    for what does not decode.
    """
    return tf.cond(
        tf.io.is_jpeg(image_bytes),
        lambda: tf.io.decode_jpeg(image_bytes, channels=3),
        lambda: _to_rgb(tf.io.decode_image(image_bytes, expand_animations=False)),
    )


def crop(record, box):
    """The part of a record (see source.py) that `box(height, width)` chooses.

    box: returns int32 (top, left, height, width). Returns uint8 [height, width, 3]. Of
    a JPEG, only the blocks inside the box are decoded.
    """
    if record.dtype != tf.string:
        shape = tf.shape(record)
        top, left, height, width = box(shape[0], shape[1])
        return record[top : top + height, left : left + width]

    def crop_jpeg():
        shape = tf.io.extract_jpeg_shape(record)
        window = tf.stack(box(shape[0], shape[1]))
        return tf.image.decode_and_crop_jpeg(record, window, channels=3)

    return tf.cond(tf.io.is_jpeg(record), crop_jpeg, lambda: crop(decode(record), box))


def pixels(record):
    """The whole image of a record, uint8 [height, width, 3]."""
    return decode(record) if record.dtype == tf.string else record


def _to_rgb(image):
    image.set_shape([None, None, None])
    is_grey = tf.shape(image)[2] < 3
    return tf.gather(image, tf.where(is_grey, [0, 0, 0], [0, 1, 2]), axis=2)
