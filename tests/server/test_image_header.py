"""Sizes are told from headers alone, and bombs are found there."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from npid_tf.server.image_header import RESIZED_AREA, array_cost, decoding_cost
from npid_tf.server.image_kinds import MAX_CHUNKS, MAX_SCANS, MAX_SEGMENTS
from npid_tf.server.limits import RequestError

MAX_PIXELS = 10_000


def encode(kind, width, height, **options):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, [height, width, 3], np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc


def tiff_of_many_blobs():
    """One that points to the same 30 MB a hundred times."""
    entries = [struct.pack("<HHII", tag, 1, 30 << 20, 8) for tag in range(100)]
    return b"II*\0" + struct.pack("<IH", 8, 100) + b"".join(entries)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_kinds_that_pillow_decodes_are_priced_by_their_size(kind):
    assert decoding_cost(encode(kind, 40, 30), MAX_PIXELS) > 40 * 30
    with pytest.raises(RequestError, match="may have 10,000 pixels"):
        decoding_cost(encode(kind, 101, 100), MAX_PIXELS)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(["JPEG", "PNG", "BMP", "GIF"]),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_the_cost_is_that_of_what_tensorflow_decodes(kind, width, height):
    data = encode(kind, width, height)
    decoded = tf.io.decode_image(data, channels=3, expand_animations=False)
    assert decoded.shape[:2] == [height, width]
    cost = array_cost(height, width, MAX_PIXELS)
    # A GIF's frames and what is kept beside the pixels count as well.
    assert cost <= decoding_cost(data, MAX_PIXELS) <= cost + 2 * height * width


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 5}])
def test_jpegs_of_all_kinds_pass(options):
    assert decoding_cost(encode("JPEG", 30, 20, **options), MAX_PIXELS) > 600


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF8",
        b"BM",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF1234WEBPVP8 ",
        b"II*\0\xff\xff\xff\xff",
        tiff_of_many_blobs(),
        b"<svg/>",
        encode("GIF", 9, 9)[:40],
        encode("JPEG", 9, 9)[:100],
    ],
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(RequestError, match="does not decode") as caught:
        decoding_cost(data, MAX_PIXELS)
    assert caught.value.status == 400


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(
        [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0", b"P6 "]
        + [b"RIFF1234WEBPVP8X", b"\0\0\0\x20ftypavif", b"\xff\x4f\xff\x51"]
    ),
    st.binary(max_size=200),
)
def test_any_bytes_have_a_cost_or_are_refused(magic, rest):
    try:
        assert decoding_cost(magic + rest, MAX_PIXELS) >= RESIZED_AREA
    except RequestError as error:
        assert error.status in (400, 413)


@pytest.mark.parametrize(
    "data",
    [
        png_header(101, 100),
        png_header(2**31 - 1, 2**31 - 1),
        b"BM" + bytes(16) + struct.pack("<ii", 200, -200),
        encode("JPEG", 101, 100),
        encode("GIF", 101, 100),
    ],
)
def test_too_many_pixels_are_refused_before_they_are_decoded(data):
    with pytest.raises(RequestError, match="may have 10,000 pixels") as caught:
        decoding_cost(data, MAX_PIXELS)
    assert caught.value.status == 413


def test_the_frames_of_a_gif_count_together_each_by_its_own_size():
    noise = np.random.default_rng(0).integers(0, 256, [4, 60, 60], np.uint8)
    frame, *others = [Image.fromarray(pixels) for pixels in noise]
    file = io.BytesIO()
    frame.save(file, "GIF", save_all=True, append_images=others)
    with pytest.raises(RequestError, match=r"all frames\. Received: 14400"):
        decoding_cost(file.getvalue(), MAX_PIXELS)
    screen = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0, 0, 0)
    huge = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x00"
    with pytest.raises(RequestError, match="in all frames"):
        decoding_cost(screen + huge + b";", MAX_PIXELS)


def with_scans(data, number):
    """A progressive JPEG with its last scan again and again."""
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return (
        data[:end] + data[start:end] * (number - data.count(b"\xff\xda")) + data[end:]
    )


def test_the_scans_of_a_jpeg_are_priced_by_its_pixels():
    data = with_scans(encode("JPEG", 9, 9, progressive=True), MAX_SCANS)
    assert tf.io.decode_jpeg(data).shape == [9, 9, 3]
    assert decoding_cost(data, MAX_PIXELS) > 0
    with pytest.raises(RequestError, match="may have 100 scans"):
        decoding_cost(with_scans(data, MAX_SCANS + 1), MAX_PIXELS)
    large = encode("JPEG", 63, 63, progressive=True)
    assert decoding_cost(with_scans(large, 10), MAX_PIXELS) > 63 * 63
    with pytest.raises(RequestError, match="scans of a JPEG may have 40,000 pixels"):
        decoding_cost(with_scans(large, 11), MAX_PIXELS)


def test_bytes_that_look_like_scans_are_none():
    data = encode("JPEG", 64, 64)
    comment = b"\xff\xfe" + (1002).to_bytes(2, "big") + 500 * b"\xff\xda"
    motion_photo = data[:2] + comment + data[2:] + 500 * b"\xff\xda"
    assert tf.io.decode_jpeg(motion_photo).shape == [64, 64, 3]
    assert decoding_cost(motion_photo, MAX_PIXELS) == decoding_cost(data, MAX_PIXELS)


def test_a_progressive_jpeg_is_priced_by_the_memory_it_takes():
    plain, small, full = (
        decoding_cost(encode("JPEG", 60, 60, **options), MAX_PIXELS)
        for options in (
            {},
            {"progressive": True, "subsampling": "4:2:0"},
            {"progressive": True, "subsampling": "4:4:4"},
        )
    )
    assert small - plain == 60 * 60 / 2  # 6 bytes a pixel where 4 are usual.
    assert full - plain == 60 * 60 * 5 / 4
    # At 50 Mpx, 200 MB: as many of a plain JPEG, fewer of what takes more of each.
    jpeg = with_scans(encode("JPEG", 9, 9, subsampling="4:4:4"), 2)
    start = jpeg.index(b"\xff\xc0") + 5
    small, large = (
        jpeg[:start] + struct.pack(">HH", side, side) + jpeg[start + 4 :]
        for side in (4700, 4800)
    )
    assert decoding_cost(small, 50_000_000) > 4700**2
    with pytest.raises(RequestError, match="may take 200,000,000 bytes to decode"):
        decoding_cost(large, 50_000_000)


def test_a_png_is_priced_by_the_memory_it_takes():
    assert decoding_cost(png_header(5700, 5700), 50_000_000) > 5700**2
    with pytest.raises(RequestError, match="may take 200,000,000 bytes to decode"):
        decoding_cost(png_header(5800, 5800), 50_000_000)
    assert decoding_cost(png_header(100, 100), 10_000) > 10_000


def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


@pytest.mark.parametrize(
    ("kind", "head"),
    [(b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")],
)
def test_compressed_text_of_a_png_is_priced(kind, head):
    data = encode("PNG", 9, 9)
    text = chunk(kind, head + zlib.compress(bytes(7_000_000)))
    assert decoding_cost(data[:33] + text + data[33:], MAX_PIXELS) > 0
    with pytest.raises(RequestError, match="too much compressed text"):
        decoding_cost(data[:33] + 20 * text + data[33:], MAX_PIXELS)
    plain = chunk(b"iTXt", b"a\0\0\0\0\0" + 90_000 * b"x")
    assert decoding_cost(data[:33] + 20 * plain + data[33:], MAX_PIXELS) > 0


def test_files_of_endless_parts_are_refused():
    jpeg, png, gif = (encode(kind, 9, 9) for kind in ("JPEG", "PNG", "GIF"))
    comments = MAX_SEGMENTS * b"\xff\xfe\0\2"
    with pytest.raises(RequestError, match="segments"):
        decoding_cost(jpeg[:2] + comments + jpeg[2:], MAX_PIXELS)
    with pytest.raises(RequestError, match="chunks"):
        decoding_cost(png[:33] + MAX_CHUNKS * chunk(b"abCd", b""), MAX_PIXELS)
    with pytest.raises(RequestError, match="blocks"):
        decoding_cost(gif[:-1] + b"\x21\xfe" + 400_000 * b"\1a" + b"\0;", MAX_PIXELS)


def test_images_that_grow_when_resized_or_hold_nothing_are_refused():
    with pytest.raises(RequestError, match="50 times as long as wide"):
        array_cost(1, 51, MAX_PIXELS)
    with pytest.raises(RequestError, match="empty: 0 x 5"):
        array_cost(0, 5, MAX_PIXELS)
    assert array_cost(50, 1, MAX_PIXELS) > 40 * array_cost(1, 1, MAX_PIXELS)
