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

from npid_tf.serving.image_header import (
    MAX_SCANS,
    RESIZED_AREA,
    array_cost,
    decoding_cost,
)
from npid_tf.serving.limits import RequestError

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
    assert cost <= decoding_cost(data, MAX_PIXELS) <= cost + height * width


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
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"]),
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


def test_a_jpeg_of_endless_scans_is_refused():
    data = encode("JPEG", 9, 9, progressive=True)
    with pytest.raises(RequestError, match="scans"):
        decoding_cost(data + MAX_SCANS * b"\xff\xda", MAX_PIXELS)


def test_images_that_grow_when_resized_or_hold_nothing_are_refused():
    with pytest.raises(RequestError, match="50 times as long as wide"):
        array_cost(1, 51, MAX_PIXELS)
    with pytest.raises(RequestError, match="empty: 0 x 5"):
        array_cost(0, 5, MAX_PIXELS)
    assert array_cost(50, 1, MAX_PIXELS) > 40 * array_cost(1, 1, MAX_PIXELS)
