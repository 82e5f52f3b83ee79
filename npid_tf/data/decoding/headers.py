"""Which files TensorFlow's ops read as Pillow does, told in a graph of stock ops.

Metadata are searched for by their marks: a walk over the parts of a file would cost
more than to decode it, as each step of a loop in a graph takes longer than a thousand
bytes of a search.
"""

import typing

import tensorflow as tf

from npid_tf.data.decoding.orientation import octets, read_orientation

JPEG, PNG, WEBP, BMP, GIF, OTHER = range(6)
# Where a JPEG without metadata has its pixels; where metadata are, before the pixels or
# after them. A segment of a JPEG has at most 64 KiB, and EXIF is among the first.
BARE_BYTES, FIRST_BYTES, LAST_BYTES = 1024, 1 << 18, 1 << 16
# A GIF's blocks before its first frame; a file of endless ones takes no more time.
MAX_BLOCKS = 1000
_MAGIC = {
    JPEG: b"\xff\xd8\xff",
    PNG: b"\x89PNG\r\n\x1a\n",
    WEBP: b"RIFF\0\0\0\0WEBP",
    BMP: b"BM",
    GIF: b"GIF8",
}


class Look(typing.NamedTuple):
    """What is seen of a file before it is decoded; scalars.

    is_plain: whether stock ops read it rightly. orientation: int32, 1 to 8.
    has_alpha: whether a pixel may be transparent.
    """

    is_plain: tf.Tensor
    orientation: tf.Tensor
    has_alpha: tf.Tensor


def kind_of(data):
    """int32: one of JPEG, PNG, WEBP, BMP, GIF and OTHER, by the first bytes."""
    magic = tf.constant([list(text.ljust(12, b"\0")) for text in _MAGIC.values()])
    is_same = (octets(data, 0, 12) == magic) | (magic == 0)
    # The first that is true, of these and of one that always is.
    return tf.argmax(
        tf.concat([tf.reduce_all(is_same, axis=1), [True]], 0), output_type=tf.int32
    )


def is_jpeg(data):
    """Whether a file begins as a JPEG does."""
    return tf.strings.substr(data, 0, 3) == _MAGIC[JPEG]


def is_bare_jpeg(data):
    """Whether the first bytes tell that a file is a JPEG without metadata."""
    first = octets(data, 0, BARE_BYTES)
    pairs = 256 * first[:-1] + first[1:]
    # Its three colors, or grey.
    scans = (pairs[:-3] == 0xFFDA) & ((pairs[3:] == 0x0C03) | (pairs[3:] == 0x0801))
    is_bare = tf.reduce_any(scans) & ~tf.reduce_any(pairs == 0xFFE1)
    return is_bare & (pairs[0] == 0xFFD8)


def look_at_jpeg(data):
    """The Look of a JPEG."""
    first = _octets(data, 0, FIRST_BYTES)
    exif = _find(first, {-4: 0xFF, -3: 0xE1} | _at(b"Exif\0\0"))
    xmp = _find(first, {-4: 0xFF, -3: 0xE1} | _at(b"http:"))

    def segment(place):
        high, low = tf.unstack(octets(data, place - 2, 2))
        return _part(data, place, place, 256 * high + low - 2)

    orientation = read_orientation(segment(exif), lambda: segment(xmp))
    return Look(tf.constant(True), orientation, tf.constant(False))


def look_at_png(data):
    """The Look of a PNG."""
    first = _octets(data, 8, FIRST_BYTES)
    exif = _find(first, _at(b"eXIf"))
    xmp = _find(first, _at(b"iTXtXML:com.adobe.xmp"))

    def chunk(place):
        size = octets(data, 8 + place - 4, 4)
        size = tf.reduce_sum(size * [1 << 24, 1 << 16, 1 << 8, 1])
        return _part(data, place, place + 12, size)

    # Text may be compressed, which no stock op expands; and after the pixels.
    is_packed = octets(chunk(xmp), len("XML:com.adobe.xmp\0"), 1)[0] != 0
    is_packed |= _find(first, _at(b"XtRaw profile type ")) >= 0
    end = tf.strings.length(data)
    last = _octets(data, tf.maximum(end - LAST_BYTES, 8 + FIRST_BYTES), LAST_BYTES)
    is_late = (_find(last, _at(b"eXIf")) >= 0) | (_find(last, _at(b"iTXt")) >= 0)
    orientation = read_orientation(chunk(exif), lambda: chunk(xmp))
    depth, color = tf.unstack(octets(data, 24, 2))
    has_alpha = (color == 4) | (color == 6) | (_find(first, _at(b"tRNS")) >= 0)
    return Look((depth > 0) & ~is_packed & ~is_late, orientation, has_alpha)


def look_at_webp(data):
    """The Look of a WebP."""
    is_extended = tf.strings.substr(data, 12, 4) == b"VP8X"
    flags = tf.where(is_extended, octets(data, 20, 1)[0], 0)
    exif, xmp, alpha, animation = (
        tf.bitwise.bitwise_and(flags, bit) > 0 for bit in (0x08, 0x04, 0x10, 0x02)
    )
    whole = tf.io.decode_raw(data, tf.uint8)  # These are at its end.

    def chunk(text):
        place = _find(whole, _at(text))
        size = tf.reduce_sum(octets(data, place + 4, 4) * [1, 1 << 8, 1 << 16, 1 << 24])
        return _part(data, place, place + 8, size)

    orientation = tf.cond(
        exif | xmp,
        lambda: read_orientation(chunk(b"EXIF"), lambda: chunk(b"XMP ")),
        lambda: 1,
    )
    return Look(~animation, orientation, alpha)


def look_at_bmp(data):
    """The Look of a BMP: three bytes a pixel are plain, and palettes are not."""
    header = octets(data, 14, 1)[0]
    bits, compression = octets(data, 28, 1)[0], octets(data, 30, 1)[0]
    is_plain = (header == 40) & (bits == 24) & (compression == 0)
    return Look(is_plain, tf.constant(1), tf.constant(False))


def look_at_gif(data):
    """The Look of a GIF: plain if its first frame fills it and is opaque."""
    screen, packed = octets(data, 6, 4), octets(data, 10, 1)[0]
    table = 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(packed, 7))
    start = 13 + tf.where(packed >= 128, table, 0)

    def is_extension(position, is_inside, is_transparent):
        return is_inside | (octets(data, position, 1)[0] == 0x21)

    def step(position, is_inside, is_transparent):
        # An extension is its mark and label, then blocks to an empty one.
        head = octets(data, position, 4)
        is_control = ~is_inside & (head[1] == 0xF9)
        is_transparent |= is_control & (head[3] % 2 == 1)
        after = position + tf.where(is_inside, 1 + head[0], 2)
        return after, ~is_inside | (head[0] > 0), is_transparent

    position, _, is_transparent = tf.while_loop(
        is_extension,
        step,
        (start, tf.constant(False), tf.constant(False)),
        maximum_iterations=MAX_BLOCKS,
    )
    frame = octets(data, position, 9)
    is_whole = tf.reduce_all(frame == tf.concat([[0x2C, 0, 0, 0, 0], screen], 0))
    return Look(is_whole & ~is_transparent, tf.constant(1), tf.constant(False))


def _octets(data, start, count):
    """Up to `count` bytes from `start` on, uint8."""
    start = tf.minimum(start, tf.strings.length(data))
    return tf.io.decode_raw(tf.strings.substr(data, start, count), tf.uint8)


def _find(octets, pattern):
    """Where the byte 0 of a pattern {offset: byte} first is, int32; -1 if nowhere.

    octets: uint8 [size]. Byte 1 is looked for, then the others around it.
    """
    places = tf.cast(tf.where(octets == pattern[1])[:, 0], tf.int32) - 1
    around = places[:, None] + tf.constant(list(pattern))
    inside = tf.clip_by_value(around, 0, tf.maximum(tf.size(octets) - 1, 0))
    is_it = tf.gather(octets, inside) == tf.constant(list(pattern.values()), tf.uint8)
    is_it = tf.reduce_all(is_it & (around == inside), axis=1)
    return tf.concat([tf.boolean_mask(places, is_it), [-1]], 0)[0]


def _at(text):
    return dict(enumerate(text))


def _part(data, place, start, size):
    """Bytes of a file, none if the `place` of their mark is nowhere."""
    start = tf.clip_by_value(start, 0, tf.strings.length(data))
    size = tf.where(place < 0, 0, tf.maximum(size, 0))
    return tf.strings.substr(data, start, size)
