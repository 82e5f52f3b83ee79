"""Decodes the files that TensorFlow's own ops read as Pillow does."""

import tensorflow as tf

from npid_tf.data.decoding import headers
from npid_tf.data.decoding.orientation import octets, shown_size, stored_box, turn
from npid_tf.data.decoding.rules import PERCENTILES, compose

# As Pillow has it, bit for bit; and no slower.
_DCT = "INTEGER_ACCURATE"


def decode_stock(data, decoding, otherwise):
    """uint8 [height, width, 3] of a file, as it is shown.

    Args:
        data: scalar string.
        decoding: Decoding.
        otherwise: function without arguments, that returns the image of a file that is
            not plain.
    """

    def read(look_at, decode):
        def plain(look):
            return turn(_whole(decode(data, look, decoding)), look.orientation)

        def read_kind():
            look = look_at(data)
            return tf.cond(look.is_plain, lambda: plain(look), otherwise)

        return apart(read_kind)

    def by_kind():
        functions = {kind: read(*_READERS[kind]) for kind in _READERS}
        functions[headers.OTHER] = apart(otherwise)
        return tf.switch_case(headers.kind_of(data), functions)

    bare = headers.is_bare_jpeg(data)
    return _whole(tf.cond(bare, lambda: _jpeg(data, None, decoding), apart(by_kind)))


def decode_jpeg(data, otherwise):
    """uint8 [height, width, 3] of a JPEG, as it is shown; `otherwise()` of others."""

    def decoded():
        return _jpeg(data, None, None)

    def other():
        return tf.cond(
            headers.is_jpeg(data),
            lambda: turn(decoded(), _orientation_of_jpeg(data)),
            otherwise,
        )

    return _whole(tf.cond(headers.is_bare_jpeg(data), decoded, apart(other)))


def is_stock(data):
    """Whether a file is plain: whether `decode_stock` decodes it by itself."""
    functions = {
        kind: apart(lambda look_at=look_at: look_at(data).is_plain)
        for kind, (look_at, _) in _READERS.items()
    }
    others = {headers.OTHER: lambda: tf.constant(False)}
    return tf.switch_case(headers.kind_of(data), functions | others)


def crop_stock(data, box, otherwise):
    """The part of a JPEG that `box(height, width)` chooses of the shown image.

    Only the blocks inside of it are decoded. otherwise: function without arguments,
    that returns the part of what is no JPEG.
    """

    def crop(window):
        return tf.image.decode_and_crop_jpeg(data, window, channels=3, dct_method=_DCT)

    def size():
        return tf.unstack(tf.io.extract_jpeg_shape(data))[:2]

    def turned():
        height, width = size()
        orientation = _orientation_of_jpeg(data)
        window = tf.stack(box(*shown_size(height, width, orientation)))
        window = stored_box(window, height, width, orientation)
        return turn(crop(window), orientation)

    def other():
        return tf.cond(headers.is_jpeg(data), turned, otherwise)

    bare = headers.is_bare_jpeg(data)
    part = tf.cond(bare, lambda: crop(tf.stack(box(*size()))), apart(other))
    return _whole(part)


def apart(function):
    """The function, as one op of the graph: what is not run costs nothing then, where
    each op of a branch that is not taken costs some microseconds."""
    if tf.executing_eagerly():
        return function
    return one_op(function)


def one_op(function, input_signature=None):
    """A tf.function that stays one op of the graphs it is called in."""
    return tf.function(
        function,
        input_signature,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


_orientation_of_jpeg = one_op(
    lambda data: headers.look_at_jpeg(data).orientation,
    [tf.TensorSpec([], tf.string)],
)


def _jpeg(data, look, decoding):
    return tf.io.decode_jpeg(data, channels=3, dct_method=_DCT)


def _bmp(data, look, decoding):
    return tf.io.decode_bmp(data, channels=3)


def _gif(data, look, decoding):
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _png(data, look, decoding):
    def opaque():
        return _whole(tf.io.decode_png(data, channels=3))

    def composed():
        image = tf.io.decode_png(data, channels=4)
        return _compose(image[..., :3], image[..., 3:], decoding)

    def deep():
        image = tf.io.decode_png(data, channels=4, dtype=tf.uint16)
        image = tf.cast(_whole(image, 4), tf.int32)
        alpha = tf.cast(_scaled(image[..., 3:], 0, 65535), tf.uint8)
        scaled = _to_bytes(image[..., :3], decoding.intensity)
        return _compose(scaled, alpha, decoding)

    return tf.cond(
        octets(data, 24, 1)[0] == 16,
        deep,
        lambda: tf.cond(look.has_alpha, composed, opaque),
    )


def _webp(data, look, decoding):
    image = tf.io.decode_webp(data)[0]  # Of as many channels as it has.
    return tf.cond(
        tf.shape(image)[2] == 4,
        lambda: _compose(image[..., :3], image[..., 3:], decoding),
        lambda: image[..., :3],
    )


def _compose(image, alpha, decoding):
    color = tf.constant(decoding.color, tf.uint16)
    image, alpha = (tf.cast(x, tf.uint16) for x in (image, alpha))
    return _whole(tf.cast(compose(image, alpha, color), tf.uint8))


def _to_bytes(values, intensity):
    """As `to_bytes` of rules.py does, of int32 values of 16 bits."""
    if intensity == "full":
        return tf.cast(_scaled(values, 0, 65535), tf.uint8)
    if intensity == "minmax":
        low, high = tf.reduce_min(values), tf.reduce_max(values)
    else:
        below = tf.cumsum(tf.math.bincount(tf.reshape(values, [-1]), minlength=65536))
        places = tf.cast(below[-1] - 1, tf.float64) * PERCENTILES
        places = tf.stack([tf.floor(places[0]), tf.math.ceil(places[1])])
        places = tf.cast(places, tf.int32)
        low, high = tf.unstack(tf.searchsorted(below, places, side="right"))
    return tf.cast(_scaled(values, low, high), tf.uint8)


def _scaled(values, low, high):
    """int32 0..255 of low..high, rounded."""
    span = tf.maximum(high - low, 1)
    values = tf.clip_by_value(values - low, 0, span)
    return (values * 255 + span // 2) // span


def _whole(image, channels=3):
    return tf.ensure_shape(image, [None, None, channels])


# Of each kind what looks at a file, and what decodes it if it is plain.
_READERS = {
    headers.JPEG: (headers.look_at_jpeg, _jpeg),
    headers.PNG: (headers.look_at_png, _png),
    headers.WEBP: (headers.look_at_webp, _webp),
    headers.BMP: (headers.look_at_bmp, _bmp),
    headers.GIF: (headers.look_at_gif, _gif),
}
