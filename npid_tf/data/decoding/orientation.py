"""Which way up a photo is: EXIF's orientation, 1 to 8.

A camera stores the rows of its sensor, and how they are to be turned. From stored to
shown: flip the rows, flip the columns, then exchange both.
"""

import tensorflow as tf

FLIPPED_ROWS = (3, 4, 6, 7)
FLIPPED_COLUMNS = (2, 3, 7, 8)
TRANSPOSED = (5, 6, 7, 8)
TAG = 0x0112
_BYTE, _SHORT, _LONG = 1, 3, 4  # Types of a value in an EXIF block.
_EXIF = b"Exif\0\0"
_IN_XMP = r'(?s)^.*?tiff:Orientation(?:="|>)([0-9]).*$'


def turn_array(image, orientation):
    """The image as it is shown, a numpy array [height, width, ...]."""
    rows = -1 if orientation in FLIPPED_ROWS else 1
    columns = -1 if orientation in FLIPPED_COLUMNS else 1
    image = image[::rows, ::columns]
    return image.swapaxes(0, 1) if orientation in TRANSPOSED else image


def turn(image, orientation):
    """The image as it is shown, in a graph.

    image: [height, width, 3]. orientation: int32 scalar, 1 to 8.
    """

    def turned():
        flips = [_is(orientation, FLIPPED_ROWS), _is(orientation, FLIPPED_COLUMNS)]
        flipped = tf.reverse(image, tf.boolean_mask([0, 1], flips))
        exchanged = tf.where(_is(orientation, TRANSPOSED), [1, 0, 2], [0, 1, 2])
        return tf.transpose(flipped, exchanged)

    return tf.cond(orientation == 1, lambda: image, turned)


def shown_size(height, width, orientation):
    """(height, width) as an image is shown, of those that are stored."""
    exchanged = _is(orientation, TRANSPOSED)
    return tf.where(exchanged, width, height), tf.where(exchanged, height, width)


def stored_box(box, height, width, orientation):
    """Where a box (top, left, height, width) of the shown image is in the stored one,
    of height x width; int32 [4]."""
    top, left, tall, wide = tf.unstack(
        tf.where(_is(orientation, TRANSPOSED), tf.gather(box, [1, 0, 3, 2]), box)
    )
    top = tf.where(_is(orientation, FLIPPED_ROWS), height - top - tall, top)
    left = tf.where(_is(orientation, FLIPPED_COLUMNS), width - left - wide, left)
    return tf.stack([top, left, tall, wide])


def read_orientation(exif, xmp):
    """The orientation in the metadata of a file, in a graph of stock ops; 1 if none.

    exif: scalar string, an EXIF block, or empty. xmp: function that returns its XMP, or
    an empty one: asked, as by Pillow, if there is no orientation in the EXIF block.
    """
    found = _in_exif(exif)
    found = tf.cond(found >= 0, lambda: found, lambda: _in_xmp(xmp()))
    return tf.where(tf.logical_and(found >= 1, found <= 8), found, 1)


def _in_exif(exif):
    has_head = tf.strings.substr(exif, 0, len(_EXIF)) == _EXIF
    start = tf.where(has_head, len(_EXIF), 0)
    is_little = tf.strings.substr(exif, start, 2) == b"II"

    def number(octets):
        octets = tf.where(is_little, octets[..., ::-1], octets)
        powers = 256 ** tf.range(octets.shape[-1] - 1, -1, -1)
        return tf.reduce_sum(octets * powers, axis=-1)

    first = start + number(octets(exif, start + 4, 4))
    count = number(octets(exif, first, 2))
    table = tf.strings.substr(exif, _inside(exif, first + 2), 12 * count)
    table = tf.strings.substr(table, 0, tf.strings.length(table) // 12 * 12)
    entries = tf.reshape(tf.cast(tf.io.decode_raw(table, tf.uint8), tf.int32), [-1, 12])
    kind, value = number(entries[:, 2:4]), entries[:, 8:]
    values = tf.where(
        kind == _SHORT,
        number(value[:, :2]),
        tf.where(kind == _LONG, number(value), value[:, 0]),
    )
    is_it = tf.logical_and(
        number(entries[:, :2]) == TAG, _is(kind, (_BYTE, _SHORT, _LONG))
    )
    # The last of several, and -1 for none.
    return tf.concat([[-1], tf.boolean_mask(values, is_it)], 0)[-1]


def _in_xmp(xmp):
    digit = tf.strings.regex_replace(xmp, _IN_XMP, r"\1")
    is_found = tf.strings.regex_full_match(digit, "[0-9]")
    return tf.strings.to_number(tf.where(is_found, digit, "1"), tf.int32)


def octets(text, start, count):
    """`count` bytes of a scalar string from `start` on, int32; 0 past its end."""
    part = tf.strings.substr(text, _inside(text, start), count)
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int32)


def _inside(text, position):
    return tf.clip_by_value(position, 0, tf.strings.length(text))


def _is(number, values):
    """Whether a tensor is one of a few values."""
    return tf.reduce_any(number[..., None] == tf.constant(values), axis=-1)
