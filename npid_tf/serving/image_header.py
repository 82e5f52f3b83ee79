"""How much decoding an image file takes, told from its header before it is decoded.

A few hundred bytes of PNG or GIF can fill gigabytes. Only the kinds that
`npid_tf.data.decode` reads are let through.
"""

import struct

import tensorflow as tf

from npid_tf.serving.limits import RequestError, abridged

MAX_SCANS = 100  # Of a JPEG, each as long to decode as the whole image; usual are 10.
MAX_ASPECT_RATIO = 50
# An image's shorter side is resized to the encoder's, the longer in proportion.
RESIZED_AREA = 256 * 256


def decoding_cost(image_bytes, max_pixels):
    """Pixels that decoding and resizing an image file fills, at least.

    Raises RequestError for what is no JPEG, PNG, BMP or GIF, has more than max_pixels
    (a GIF's frames count together), or is longer than wide as no photo is.
    """
    try:
        height, width, further = _shape(image_bytes)
    except (struct.error, IndexError, tf.errors.InvalidArgumentError):
        raise RequestError(
            400,
            "An image does not decode as JPEG, PNG, BMP or GIF: it begins with "
            f"{abridged(bytes(image_bytes[:8]))}.",
        ) from None
    if further > max_pixels:
        raise RequestError(
            413,
            f"A GIF may have {max_pixels:,} pixels in all frames. Received: {further}.",
        )
    return array_cost(height, width, max_pixels) + further


def array_cost(height, width, max_pixels):
    """Pixels that resizing an image of this size fills. Raises as `decoding_cost`."""
    if height < 1 or width < 1:
        raise RequestError(400, f"An image is empty: {height} x {width} pixels.")
    if height * width > max_pixels:
        raise RequestError(
            413,
            f"An image may have {max_pixels:,} pixels. Received: {height} x {width}.",
        )
    ratio = max(height, width) / min(height, width)
    if ratio > MAX_ASPECT_RATIO:
        raise RequestError(
            413,
            f"An image may be {MAX_ASPECT_RATIO} times as long as wide. Received: "
            f"{height} x {width}.",
        )
    return height * width + round(RESIZED_AREA * ratio)


def _shape(data):
    """(height, width, pixels decoded besides) of an image file."""
    if data[:3] == b"\xff\xd8\xff":
        if data.count(b"\xff\xda") > MAX_SCANS:
            raise RequestError(413, f"A JPEG may have {MAX_SCANS} scans.")
        height, width, _ = tf.io.extract_jpeg_shape(data).numpy()
        return int(height), int(width), 0
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = struct.unpack(">II", data[16:24])
        return height, width, 0
    if data[:2] == b"BM":
        width, height = struct.unpack("<ii", data[18:26])
        return abs(height), abs(width), 0
    if data[:4] == b"GIF8":
        return _gif_shape(data)
    raise IndexError


def _gif_shape(data):
    """As `_shape`, of a GIF: TensorFlow decodes all frames, each of its own size."""
    width, height = struct.unpack("<HH", data[6:10])
    pixels, position = 0, 13 + _color_table(data[10])
    while data[position] == 0x21 or data[position] == 0x2C:
        if data[position] == 0x21:  # An extension.
            position += 2
        else:
            frame_width, frame_height, packed = struct.unpack(
                "<HHB", data[position + 5 : position + 10]
            )
            pixels += frame_width * frame_height
            # TensorFlow's canvas is as large as the frames, whatever the header says.
            width, height = max(width, frame_width), max(height, frame_height)
            position += 11 + _color_table(packed)
        while data[position]:  # Blocks, each after its length, to an empty one.
            position += 1 + data[position]
        position += 1
    return height, width, pixels


def _color_table(packed):
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0
