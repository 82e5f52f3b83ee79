"""Kinds x modes x orientations, each as Pillow has it, through every door."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from npid_tf.data.decode import as_plain, crop, decode, decode_plain, is_plain
from npid_tf.data.decoding.rules import DEFAULT, Decoding
from npid_tf.data.decoding.with_pillow import decode_file
from npid_tf.errors import UserError

HEIGHT, WIDTH = 12, 20
RAMP = np.stack(
    np.broadcast_arrays(
        np.arange(HEIGHT)[:, None] * 20, np.arange(WIDTH) * 12, np.uint8(90)
    ),
    axis=-1,
).astype(np.uint8)
ALPHA = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1).astype(np.uint8)
MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "P", "RGB", "LA", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P"),
    "PPM": ("1", "L", "RGB"),
    "JPEG2000": ("L", "RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
}
TURNED = ("JPEG", "PNG", "WEBP", "TIFF")
OPTIONS = {"WEBP": {"lossless": True}}


def image_of(mode):
    if mode == "I;16":
        return Image.fromarray(RAMP[..., 0].astype(np.uint16) * 257)
    with_alpha = Image.fromarray(np.concatenate([RAMP, ALPHA], axis=2))
    return with_alpha.convert(mode) if mode in ("LA", "RGBA") else (
        Image.fromarray(RAMP).convert(mode)
    )  # fmt: skip


def encode(kind, mode, orientation=None, **options):
    file = io.BytesIO()
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    image_of(mode).save(file, kind, **OPTIONS.get(kind, {}), **options)
    return file.getvalue()


def by_pillow(data):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(int) // 257
        return np.repeat(values[..., None], 3, axis=2)
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", MODES)
def test_every_mode_is_as_pillow_has_it(kind):
    for mode in MODES[kind]:
        check_all_doors(encode(kind, mode), levels=4 if kind == "JPEG" else 2)


@pytest.mark.parametrize("kind", TURNED)
def test_every_orientation_is_as_pillow_has_it(kind):
    for orientation in range(1, 9):
        check_all_doors(encode(kind, "RGB", orientation), levels=4)


def check_all_doors(data, levels):
    expected = by_pillow(data)
    plain = as_plain(data)
    assert is_plain(plain)
    for found in (
        decode(tf.constant(data)),
        decode_plain(tf.constant(plain)),
        decode_file(data, DEFAULT),
    ):
        np.testing.assert_allclose(np.asarray(found, int), expected, atol=levels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_crop_of_a_turned_photo_is_a_part_of_what_is_shown(orientation):
    data = tf.constant(encode("JPEG", "RGB", orientation, subsampling=0, quality=95))
    whole, window = decode(data), (1, 2, 7, 5)
    sizes = []

    def box(*size):
        sizes.append(tuple(map(int, size)))
        return window

    found = np.asarray(crop(data, box), int)
    assert sizes == [whole.shape[:2]]
    np.testing.assert_allclose(found, np.asarray(whole, int)[1:8, 2:7], atol=3)


def test_an_orientation_far_behind_is_found_and_a_thumbnail_is_not_asked():
    data = encode("JPEG", "RGB", 6, comment=b"x" * 3000)
    assert decode(tf.constant(data)).shape == (WIDTH, HEIGHT, 3)
    assert decode(tf.constant(encode("JPEG", "RGB"))).shape == (HEIGHT, WIDTH, 3)


def test_what_the_graph_of_an_export_cannot_read_is_refused_in_words():
    with pytest.raises(tf.errors.InvalidArgumentError, match="this graph cannot read"):
        decode_plain(tf.constant(encode("TIFF", "RGB")))


def test_the_background_is_that_which_is_asked_for():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    file = io.BytesIO()
    clear.save(file, "PNG")
    for background, color in (("white", 255), ("black", 0), ("#808080", 128)):
        decoding = Decoding(background)
        found = decode(tf.constant(file.getvalue()), decoding)
        assert (np.asarray(found) == color).all()
    with pytest.raises(UserError, match="a color's name"):
        Decoding("no color")


DARK = np.linspace(100, 4095, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_the_intensity(kind):
    file = io.BytesIO()
    Image.fromarray(DARK.astype(np.uint16)).save(file, kind)
    for intensity, low, high in (
        ("full", 0, 65535),
        ("minmax", 100, 4095),
        ("percentile", *np.quantile(DARK, (0.01, 0.99))),
    ):
        expected = np.clip((DARK - low) / (high - low), 0, 1) * 255
        decoding = Decoding(intensity=intensity)
        found = decode_file(file.getvalue(), decoding)
        np.testing.assert_allclose(found[..., 0], expected, atol=2)
        if (kind, intensity) == ("PNG", "percentile"):  # Each takes its time to trace.
            found = decode_plain(tf.constant(file.getvalue()), decoding)
            np.testing.assert_allclose(found[..., 0], expected, atol=2)


def test_floats_outside_of_every_range_are_refused_and_say_what_to_pass():
    file = io.BytesIO()
    Image.fromarray(DARK.astype(np.float32)).save(file, "TIFF")
    with pytest.raises(UserError, match=r"from 100 to 4095.*--intensity=minmax"):
        decode_file(file.getvalue(), DEFAULT)
    found = decode_file(file.getvalue(), Decoding(intensity="minmax"))
    assert (found.min(), found.max()) == (0, 255)
    file = io.BytesIO()
    Image.fromarray((DARK / 4095).astype(np.float32)).save(file, "TIFF")
    assert decode_file(file.getvalue(), DEFAULT).max() == 255


def test_heic_is_read_with_its_package_and_named_without(monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(RAMP)).save(file, quality=95)
    assert decode_file(file.getvalue(), DEFAULT).shape == RAMP.shape
    monkeypatch.setattr("npid_tf.data.decoding.with_pillow._has_heif", lambda: False)
    with pytest.raises(UserError, match=r"npid_tf\[heif\]"):
        decode_file(file.getvalue(), DEFAULT)
