"""How much decoding an image file takes, told from its header before it is decoded.

A few hundred bytes of PNG or GIF can fill gigabytes. Only the kinds that
`npid_tf.data.decode` reads are let through.
"""

import math
import struct

import tensorflow as tf

from npid_tf.data.kinds import KINDS
from npid_tf.server.image_kinds import extent
from npid_tf.server.limits import RequestError, abridged

# What may be decoded for each of max_pixels: memory, and how often each is gone over.
PIXEL_BYTES = 4
LEAST_BYTES = 200_000_000  # The former for 50 Mpx: a smaller bound needs no other.
PIXEL_SCANS = 4
MAX_ASPECT_RATIO = 50
# An image's shorter side is resized to the encoder's, the longer in proportion.
RESIZED_AREA = 256 * 256


def decoding_cost(image_bytes, max_pixels):
    """Pixels that decoding and resizing an image file fills, at least.

    Raises RequestError for what is no image of KINDS, has more than max_pixels
    (a GIF's frames count together), takes more memory or time than so many pixels do
    (a progressive JPEG), or is longer than wide as no photo is.
    """
    try:
        found = extent(bytes(image_bytes))
    except (struct.error, IndexError, tf.errors.InvalidArgumentError):
        raise RequestError(
            400,
            f"An image does not decode as one of {', '.join(KINDS)}: it begins with "
            f"{abridged(bytes(image_bytes[:8]))}.",
        ) from None
    if found.frames > max_pixels:
        raise RequestError(
            413,
            f"A GIF may have {max_pixels:,} pixels in all frames. Received: "
            f"{found.frames}.",
        )
    cost = array_cost(found.height, found.width, max_pixels) + found.frames
    size = found.height * found.width
    if found.scans * size > PIXEL_SCANS * max_pixels:
        raise RequestError(
            413,
            f"The scans of a JPEG may have {PIXEL_SCANS * max_pixels:,} pixels in all. "
            f"Received: {found.scans} of {found.height} x {found.width}.",
        )
    num_bytes = math.ceil(found.pixel_bytes * size)
    most = max(LEAST_BYTES, PIXEL_BYTES * max_pixels)
    if num_bytes > most:
        raise RequestError(
            413,
            f"An image of this kind may take {most:,} bytes to "
            f"decode. Received: {found.height} x {found.width} pixels of "
            f"{found.pixel_bytes:g} bytes.",
        )
    return cost + max(0, num_bytes // PIXEL_BYTES - size)


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
