"""Sizes, scans, frames and chunks of image files, read from their markers.

Ours, and not Pillow's header, which is asked only for kinds that Pillow decodes (see
pillow_kinds.py). TensorFlow decodes these files, so what counts is what
TensorFlow will do with them, which Pillow does not know: it tells nothing of a JPEG's
scans and coefficients or of the frames of a GIF, expands the compressed text of a PNG
while it opens it (55 kB took 0.3 s), refuses PNGs and BMPs that TensorFlow decodes, and
says of a header that is too large only that it is no image.

Each function returns an `Extent`; struct.error or IndexError is raised for a file that
ends too early. As TensorFlow decodes them: all frames of a GIF, each scan of a JPEG.
"""

import dataclasses
import re
import struct

import tensorflow as tf

from npid_tf.server.limits import RequestError
from npid_tf.server.pillow_kinds import pillow_size, webp_size

MAX_SCANS = 100  # Of a JPEG; usual are 1, or 10 in a progressive one.
# Of a file; a marker takes two bytes and some time, so does a block of a GIF.
MAX_SEGMENTS = 10_000
MAX_CHUNKS = 100_000
MAX_BLOCKS = 300_000
# What PNG's compressed text may fill: libpng expands up to 8 MB of each chunk.
MAX_TEXT_BYTES = 64 << 20
TEXT_BYTES_OF_A_CHUNK = 8_000_000
DEFLATE_RATIO = 1032
# 0xFF begins a marker, but for 0xFF00 among the pixels and marks without a length.
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])")
_START_OF_SCAN, _END = 0xDA, 0xD9
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


@dataclasses.dataclass(frozen=True)
class Extent:
    """What decoding an image file takes.

    height, width: of the image. frames: pixels of all frames of a GIF, besides.
    scans: how often its pixels are gone over. pixel_bytes: memory of a pixel, float.
    """

    height: int
    width: int
    frames: int = 0
    scans: int = 1
    pixel_bytes: float = 3


def extent(data):
    """The Extent of an image file. Raises IndexError for what is none."""
    for magic, read in _KINDS.items():
        if data.startswith(magic):
            return read(data)
    height, width, pixel_bytes = pillow_size(data)
    return Extent(height, width, pixel_bytes=pixel_bytes)


def _jpeg(data):
    height, width, _ = tf.io.extract_jpeg_shape(data).numpy()
    scans, coefficients, position = 0, 0, 2
    is_progressive = False
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None or found[1][0] == _END:
            break
        marker, start = found[1][0], found.end()
        scans += marker == _START_OF_SCAN
        if marker in _FRAMES:
            is_progressive |= marker in _PROGRESSIVE
            coefficients = max(coefficients, _coefficients(data[start : start + 99]))
        position = start + int.from_bytes(data[start : start + 2])
    else:
        raise RequestError(413, f"A JPEG may have {MAX_SEGMENTS:,} segments.")
    if scans > MAX_SCANS:
        raise RequestError(413, f"A JPEG may have {MAX_SCANS} scans.")
    # Of several scans libjpeg keeps all coefficients, two bytes each.
    kept = 2 * coefficients if is_progressive or scans > 1 else 0
    return Extent(int(height), int(width), 0, max(scans, 1), 3 + kept)


def _coefficients(frame):
    """Numbers that the header of a frame has for each pixel, of all colors."""
    colors = [frame[9 + 3 * color] for color in range(frame[7])]
    areas = [(color >> 4) * (color & 15) for color in colors]
    return sum(areas) / max(1, *areas)


def _png(data):
    width, height, _, color = struct.unpack(">IIBB", data[16:26])
    position, text_bytes, segments = 8, 0, 0
    while position + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[position : position + 8])
        if _is_compressed(kind, data, position + 8):
            text_bytes += min(DEFLATE_RATIO * size, TEXT_BYTES_OF_A_CHUNK)
        if text_bytes > MAX_TEXT_BYTES:
            raise RequestError(413, "A PNG has too much compressed text.")
        position += 12 + size
        segments += 1
        if segments > MAX_CHUNKS:
            raise RequestError(413, f"A PNG may have {MAX_CHUNKS:,} chunks.")
    # As it is stored, and as RGB.
    return Extent(height, width, pixel_bytes=3 + {0: 1, 4: 2, 2: 3}.get(color, 4))


def _is_compressed(kind, data, start):
    """Whether a chunk's content is expanded when it is read, though it is no pixels."""
    if kind == b"iTXt":  # A word, a zero byte, then whether.
        end = data.find(b"\0", start, start + 80)
        return data[end + 1 : end + 2] != b"\0"
    return kind in (b"zTXt", b"iCCP")


def _webp(data):
    height, width, pixel_bytes = webp_size(data)
    return Extent(height, width, pixel_bytes=pixel_bytes)


def _bmp(data):
    width, height = struct.unpack("<ii", data[18:26])
    return Extent(abs(height), abs(width), pixel_bytes=7)


def _gif(data):
    width, height = struct.unpack("<HH", data[6:10])
    pixels, blocks, position = 0, 0, 13 + _color_table(data[10])
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
            blocks += 1
        position += 1
        blocks += 1
        if blocks > MAX_BLOCKS:
            raise RequestError(413, f"A GIF may have {MAX_BLOCKS:,} blocks.")
    return Extent(height, width, pixels, pixel_bytes=6)


def _color_table(packed):
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


_KINDS = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"BM": _bmp,
    b"GIF8": _gif,
    b"RIFF": _webp,
}
