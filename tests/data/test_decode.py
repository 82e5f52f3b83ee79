"""Every file format becomes uint8 RGB, and crops are parts of the whole image."""

import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.decode import check, crop, decode, pixels
from npid_tf.errors import UserError

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (6, 7, 3), dtype=np.uint8)
GREY = RGB[..., :1]
# JPEG keeps smooth images only.
SMOOTH = np.stack(
    np.broadcast_arrays(
        np.arange(40)[:, None] * 6, np.arange(50) * 5, np.arange(40)[:, None] + 20
    ),
    axis=-1,
).astype(np.uint8)


def bmp(image):
    height, width, _ = image.shape
    rows = np.zeros((height, -(-width * 3 // 4) * 4), np.uint8)
    rows[:, : width * 3] = image[::-1, :, ::-1].reshape(height, -1)
    size = 54 + rows.size
    header = struct.pack("<2sIHHI", b"BM", size, 0, 0, 54)
    info = struct.pack("<IiiHHII16x", 40, width, height, 1, 24, 0, rows.size)
    return header + info + rows.tobytes()


def gif(palette, frames):
    """Seven-bit pixels: with the clear and end codes, every LZW code is one byte."""
    height, width = frames[0].shape
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF6, 0, 0)
    blocks = b"".join(
        b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x07"
        + bytes([frame.size + 2, 128]) + frame.tobytes() + b"\x81\x00"
        for frame in frames
    )  # fmt: skip
    return head + palette.tobytes() + blocks + b";"


def palette_png(palette, image):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data)
        )  # fmt: skip

    height, width = image.shape
    rows = b"".join(b"\x00" + row.tobytes() for row in image)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.tobytes())
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PALETTE = RANDOM.integers(0, 256, (128, 3), dtype=np.uint8)
FRAMES = RANDOM.integers(0, 128, (2, 6, 7), dtype=np.uint8)
ALPHA = RANDOM.integers(0, 256, (6, 7, 1), dtype=np.uint8)


def on_white(image):
    weight = ALPHA / 255
    return np.rint(image * weight + 255 * (1 - weight)).astype(np.uint8)


LOSSLESS = {
    "png": (tf.io.encode_png(RGB).numpy(), RGB),
    "grey_png": (tf.io.encode_png(GREY).numpy(), np.repeat(GREY, 3, 2)),
    "grey_alpha_png": (
        tf.io.encode_png(np.concatenate([GREY, ALPHA], 2)).numpy(),
        on_white(np.repeat(GREY, 3, 2)),
    ),
    "rgba_png": (
        tf.io.encode_png(np.concatenate([RGB, ALPHA], 2)).numpy(),
        on_white(RGB),
    ),
    "16_bit_png": (tf.io.encode_png(RGB.astype(np.uint16) * 257).numpy(), RGB),
    "palette_png": (palette_png(PALETTE, FRAMES[0]), PALETTE[FRAMES[0]]),
    "bmp": (bmp(RGB), RGB),
    "gif": (gif(PALETTE, FRAMES[:1]), PALETTE[FRAMES[0]]),
    "animated_gif": (gif(PALETTE, FRAMES), PALETTE[FRAMES[0]]),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_decode_exactly(name):
    image_bytes, expected = LOSSLESS[name]
    np.testing.assert_array_equal(decode(image_bytes), expected)


def test_jpeg_decodes_closely():
    decoded = decode(tf.io.encode_jpeg(SMOOTH, quality=100, chroma_downsampling=False))
    assert (decoded.dtype, decoded.shape) == (tf.uint8, SMOOTH.shape)
    np.testing.assert_allclose(decoded, SMOOTH.astype(int), atol=6)


def test_grey_jpeg_has_three_equal_channels():
    decoded = decode(tf.io.encode_jpeg(SMOOTH[..., :1])).numpy()
    assert decoded.shape == SMOOTH.shape
    assert (decoded == decoded[..., :1]).all()


@pytest.mark.parametrize(
    "image_bytes",
    [b"", b"text", LOSSLESS["png"][0][:60], tf.io.encode_jpeg(SMOOTH).numpy()[:300]],
    ids=["empty", "text", "cut_png", "cut_jpeg"],
)
def test_what_does_not_decode_raises(image_bytes):
    with pytest.raises((UserError, tf.errors.InvalidArgumentError)):
        decode(image_bytes)
    with pytest.raises(UserError, match=r"empty|no image|does not decode"):
        check(tf.constant(image_bytes).numpy())


def test_all_formats_decode_in_one_graph():
    contents = [content for content, _ in LOSSLESS.values()]
    dataset = tf.data.Dataset.from_tensor_slices(contents).map(decode)
    assert dataset.element_spec.shape.as_list() == [None, None, 3]
    for decoded, (_, expected) in zip(dataset, LOSSLESS.values(), strict=True):
        np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("window", [(0, 0, 40, 50), (3, 5, 17, 21), (39, 49, 1, 1)])
def test_crop_of_a_jpeg_is_a_part_of_the_decoded_jpeg(window):
    top, left, height, width = window
    jpeg = tf.io.encode_jpeg(SMOOTH)
    cropped = crop(jpeg, lambda *size: window)
    whole = decode(jpeg)[top : top + height, left : left + width].numpy().astype(int)
    np.testing.assert_array_equal(cropped[:, :-1], whole[:, :-1])
    # Of the last column, libjpeg smooths the colours without what lies right of it.
    np.testing.assert_allclose(cropped[:, -1], whole[:, -1], atol=3)


@pytest.mark.parametrize(
    "record", [RGB, *(LOSSLESS[name][0] for name in ("png", "16_bit_png", "bmp"))]
)
def test_crop_of_other_records_is_a_part_of_the_image(record):
    cropped = crop(tf.constant(record), lambda height, width: (1, 2, 3, width - 2))
    np.testing.assert_array_equal(cropped, RGB[1:4, 2:])


def test_the_box_is_asked_for_with_the_size_of_the_image():
    sizes = []

    def box(height, width):
        sizes.append((int(height), int(width)))
        return 0, 0, 1, 1

    for record in (RGB, LOSSLESS["png"][0], tf.io.encode_jpeg(RGB)):
        crop(tf.constant(record), box)
    assert sizes == [(6, 7)] * 3


def test_pixels_of_both_kinds_of_record():
    np.testing.assert_array_equal(pixels(tf.constant(RGB)), RGB)
    np.testing.assert_array_equal(pixels(tf.constant(LOSSLESS["bmp"][0])), RGB)
