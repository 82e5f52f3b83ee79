"""Sizes of the image files that Pillow decodes, and of WebP, read from their headers.

WebP's and TIFF's are read here before Pillow opens them: it makes room for all of a
WebP when it opens it, and reads all that a TIFF's directory points to, which may be the
same megabytes a thousand times.
"""

import struct

from npid_tf.data.decoding.with_pillow import open_header

# What decoding takes for a pixel: RGBA, RGB, the BMP that the graph is handed, and its
# RGB; of deeper values also those, and floats.
PIXEL_BYTES, DEEP_PIXEL_BYTES = 13, 32
MAX_ENTRIES, MAX_ENTRY_BYTES = 500, 64 << 20  # Of a TIFF's directory.


def webp_size(data):
    """(height, width, bytes of a pixel). Raises IndexError for what is no WebP."""
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = struct.unpack("<I", data[21:25])
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    else:
        raise IndexError
    if data[8:12] != b"WEBP" or len(data) < 30:
        raise IndexError
    return height, width, PIXEL_BYTES


def pillow_size(data):
    """(height, width, bytes of a pixel) of a kind that Pillow opens.

    Raises IndexError for what it does not open.
    """
    if data[:2] in (b"II", b"MM"):
        _check_directory(data, "<" if data[:2] == b"II" else ">")
    try:
        with open_header(data) as image:
            width, height = image.size
            is_deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
    except Exception:  # Of a damaged header; whichever, it is no image.
        raise IndexError from None
    return height, width, DEEP_PIXEL_BYTES if is_deep else PIXEL_BYTES


def _check_directory(data, order):
    """Raises IndexError for a TIFF whose directory is of no photo."""
    magic, start = struct.unpack(f"{order}HI", data[2:8])
    (count,) = struct.unpack_from(f"{order}H", data, start)
    if magic != 42 or count > MAX_ENTRIES:
        raise IndexError
    entries = struct.iter_unpack(
        f"{order}HHI4x", data[start + 2 : start + 2 + 12 * count]
    )
    if sum(8 * values for _, _, values in entries) > MAX_ENTRY_BYTES:
        raise IndexError
