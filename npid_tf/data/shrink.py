"""Pictures of pictures, for people to look at."""

import tensorflow as tf

LOSSLESS_SIDE = 96  # pixels; beyond it, a JPEG is a tenth of a PNG


def shrink(image, side):
    """The image at its own aspect, neither of its sides longer than `side`.

    image: uint8 [height, width, 3], returned as it is if it fits. Of a line of
    pixels the middle is shown: at least one pixel in `side`. Returns uint8.
    """
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    longest = min(height, width) * side  # Longer, and no pixel of the other is left.
    top, left = (max(0, full - longest) // 2 for full in (height, width))
    image = image[top : top + longest, left : left + longest]
    image = tf.image.resize(
        image, [side, side], antialias=True, preserve_aspect_ratio=True
    )
    return tf.saturate_cast(tf.round(image), tf.uint8)


def small_file(image, side):
    """The image, shrunk, as the bytes of a file: a PNG, or a JPEG if it is large."""
    image = shrink(image, side)
    if max(image.shape[:2]) <= LOSSLESS_SIDE:
        return tf.io.encode_png(image).numpy()
    return tf.io.encode_jpeg(image, quality=85, optimize_size=True).numpy()


def kind_of_small_file(data):
    """png or jpeg, of the bytes that `small_file` returns."""
    return "png" if data.startswith(b"\x89PNG") else "jpeg"
