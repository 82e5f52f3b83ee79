"""Decodes every kind of file by Pillow; of several pages or frames, the first."""

import contextlib
import functools
import io
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image

from npid_tf.data.decoding.orientation import TAG, turn_array
from npid_tf.data.decoding.rules import to_rgb
from npid_tf.data.kinds import KINDS
from npid_tf.errors import UserError

# Not of the pixels: metadata that are damaged, and sizes, which are checked here.
warnings.filterwarnings("ignore", module=r"PIL\.")
# In one thread, before others ask for it.
Image.init()
_FORMATS = tuple(kind for kind in KINDS if kind not in ("MPO", "HEIF"))  # MPO: a JPEG.
_HEIF_BRANDS = (
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"mif1", b"mif2", b"msf1"),
)
_AVIF_BRANDS = (b"avif", b"avis")


def decode_file(data, decoding):
    """uint8 [height, width, 3] of the bytes of an image file, as it is shown.

    decoding: Decoding. May be called from many threads.

    Raises UserError that says why for what is no image, is damaged or too large, or
    needs a package.
    """
    data = bytes(data)
    try:
        if _is_deep_png(data):
            values, orientation = _read_deep_png(data)
        else:
            values, orientation = _read(data)
        return np.ascontiguousarray(turn_array(to_rgb(values, decoding), orientation))
    except UserError as error:
        raise UserError(f"{_described(data)} does not decode: {error}.") from None
    except Image.UnidentifiedImageError:
        raise UserError(_unknown(data)) from None
    except Image.DecompressionBombError:
        raise UserError(
            f"{_described(data)} is too large: it has more than "
            f"{2 * Image.MAX_IMAGE_PIXELS:,} pixels."
        ) from None
    except Exception as error:  # Decoders raise all kinds for damaged files.
        reason = " ".join(str(getattr(error, "message", error)).split())
        reason = reason.rstrip(".") or type(error).__name__
        raise UserError(f"{_described(data)} does not decode: {reason}.") from error


def open_header(data):
    """Pillow's image of a file whose pixels are not decoded yet."""
    formats = _FORMATS
    if _is_heif(data) and _has_heif():
        formats = ("HEIF",)
    return Image.open(io.BytesIO(data), formats=formats)


def _read(data):
    """(values, orientation): an array of uint8 [height, width, 3 or 4], or of deeper
    values [height, width, 1]."""
    with open_header(data) as image:
        image.load()
        orientation = 1
        with contextlib.suppress(Exception):  # Of damaged metadata.
            orientation = image.getexif().get(TAG, 1)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return _deep(image)[..., None], orientation
        has_alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        has_alpha |= "transparency" in image.info
        return np.asarray(image.convert("RGBA" if has_alpha else "RGB")), orientation


def _deep(image):
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return values.astype(np.uint16)
    return values


def _is_deep_png(data):
    return data.startswith(b"\x89PNG") and data[24:25] == b"\x10"


def _read_deep_png(data):
    # Of 16 bits and several channels, Pillow keeps the upper 8.
    with open_header(data) as image:
        orientation = 1
        with contextlib.suppress(Exception):
            orientation = image.getexif().get(TAG, 1)
    values = tf.io.decode_png(data, channels=4, dtype=tf.uint16).numpy()
    return values, orientation


def _is_heif(data):
    brands = (data[8:12], *(data[p : p + 4] for p in range(16, 64, 4)))
    return (
        data[4:8] == b"ftyp"
        and data[8:12] not in _AVIF_BRANDS
        and any(brand in _HEIF_BRANDS for brand in brands)
        and not any(brand in _AVIF_BRANDS for brand in brands)
    )


@functools.cache
def _has_heif():
    """Whether pillow-heif is there; Pillow knows the kind from now on."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _described(data):
    """ "A file of N bytes", with its kind if its first bytes tell."""
    with contextlib.suppress(Exception), open_header(data) as image:
        return f"A {image.format} image of {len(data):,} bytes"
    return f"A file of {len(data):,} bytes"


def _unknown(data):
    if not data:
        return "The file is empty."
    if _is_heif(data) and not _has_heif():
        return (
            "A HEIC image needs pillow-heif, which is not installed: pip install "
            "'npid_tf[heif]'."
        )
    return (
        f"A file of {len(data):,} bytes is no image of the kinds "
        f"{', '.join(KINDS)}, or its beginning is damaged: it begins with "
        f"{data[:8]!r}."
    )
