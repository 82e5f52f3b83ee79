"""Images of records (see sources/source.py), whole or a part, as all programs see them.

JPEGs are decoded in the graph, all else by Pillow, in the threads of tf.data: a graph
that reads all kinds takes a second to start. `decode_plain` is such a graph, of stock
ops alone, for SavedModels: files that it does not read are handed to it `as_plain`.
"""

import functools
import io

import numpy as np
import tensorflow as tf
from PIL import Image

from npid_tf.data.decoding.rules import DEFAULT
from npid_tf.data.decoding.stock import (
    crop_stock,
    decode_jpeg,
    decode_stock,
    is_stock,
    one_op,
)
from npid_tf.data.decoding.with_pillow import decode_file
from npid_tf.data.kinds import KINDS
from npid_tf.errors import UserError

NOT_PLAIN = (
    "An image file is of a kind that this graph cannot read: it reads JPEG, PNG, WebP, "
    "BMP of 24 bits and opaque GIF. npid_tf's server and programs read "
    f"{', '.join(KINDS)}."
)

_BYTES = tf.TensorSpec([], tf.string)
_is_stock = one_op(is_stock, [_BYTES])


def decode(data, decoding=DEFAULT):
    """The image in a file of any kind: uint8 [height, width, 3], as it is shown.

    data: scalar string. Raises InvalidArgumentError, or outside of a graph UserError,
    with the reason, for what does not decode.
    """
    data = tf.convert_to_tensor(data)
    return decode_jpeg(data, lambda: _by_pillow(data, decoding))


def decode_plain(data, decoding=DEFAULT):
    """As `decode`, of stock ops alone; raises for what is not `is_plain`."""
    return _traced(decoding)(data)


def crop(record, box, decoding=DEFAULT):
    """The part of a record that `box(height, width)` chooses of the shown image.

    box: returns int32 (top, left, height, width). Returns uint8 [height, width, 3]. Of
    a JPEG, only the blocks inside the box are decoded.
    """
    if record.dtype == tf.string:
        return crop_stock(record, box, lambda: crop(decode(record, decoding), box))
    shape = tf.shape(record)
    top, left, height, width = box(shape[0], shape[1])
    return record[top : top + height, left : left + width]


def pixels(record, decoding=DEFAULT):
    """The whole image of a record, uint8 [height, width, 3]."""
    return decode(record, decoding) if record.dtype == tf.string else record


def as_plain(data, decoding=DEFAULT):
    """The bytes of a file that `decode_plain` reads: these, or a BMP of what they show.

    Raises UserError as `decode_file`.
    """
    if is_plain(data):
        return data
    file = io.BytesIO()
    Image.fromarray(decode_file(data, decoding)).save(file, "BMP")
    return file.getvalue()


def is_plain(data):
    """Whether to hand a file to `decode_plain` as it is."""
    if data.startswith(b"GIF8"):
        return False  # TensorFlow refuses some that all others read.
    return data.startswith(b"\xff\xd8\xff") or bool(_is_stock(tf.constant(data)))


def why_not(data, error):
    """Why a file that TensorFlow refused by `error` does not decode, in a sentence."""
    try:
        decode_file(data, DEFAULT)
    except UserError as reason:
        return str(reason)
    return error.message.split("\n\t [[")[0].splitlines()[-1]


def check(data, decoding=DEFAULT):
    """Raises UserError, with the reason, for bytes that `decode` would not decode."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            # An eighth of the size: all of the bytes are gone over, few pixels made.
            tf.io.decode_jpeg(data, channels=3, ratio=8)
        else:
            decode(tf.constant(data), decoding)
    except tf.errors.OpError as error:
        raise UserError(why_not(data, error)) from None


@functools.cache
def _traced(decoding):
    """`_decode_plain`, traced once: that takes a second."""
    return one_op(lambda data: _decode_plain(data, decoding), [_BYTES])


def _decode_plain(data, decoding):
    def refused():
        with tf.control_dependencies([tf.debugging.Assert(False, [NOT_PLAIN])]):
            return tf.zeros([1, 1, 3], tf.uint8)

    return decode_stock(data, decoding, refused)


def _by_pillow(data, decoding):
    if tf.executing_eagerly():
        return tf.constant(decode_file(data.numpy(), decoding))
    image = tf.numpy_function(
        lambda data: decode_file(data, decoding), [data], np.uint8
    )
    return tf.ensure_shape(image, [None, None, 3])
