"""Malformed requests of many kinds, each drawn by a random.Random."""

import base64
import io
import json
import struct
import zlib

from PIL import Image


def png(width=8, height=8, color=(90, 9, 200)):
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()


def _chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def _png_bomb(draw):
    side = draw.choice([20_000, 65_535, 2**31 - 1])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10**5))
    magic = b"\x89PNG\r\n\x1a\n"
    return magic + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels)


def _gif_bomb(draw):
    screen = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0)
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, 65535, 65535, 0) + b"\x02\x01\x00\x00"
    return screen + frame * draw.randint(1, 9) + b";"


def _long_image(draw):
    return png(draw.randint(500, 3000), 1)


def _truncated(draw):
    kind = draw.choice(["PNG", "JPEG", "BMP", "GIF"])
    noise = Image.frombytes("RGB", (40, 40), draw.randbytes(4800))
    file = io.BytesIO()
    noise.save(file, kind)
    data = file.getvalue()
    # Of some JPEGs and GIFs TensorFlow forgives the end, of none the last half.
    return data[: draw.randrange(len(data) // 2)]


def _random_bytes(draw):
    magic = draw.choice([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"])
    return magic + draw.randbytes(draw.randrange(300))


def bad_image(draw):
    kinds = [_png_bomb, _gif_bomb, _long_image, _truncated, _random_bytes]
    return draw.choice(kinds)(draw)


def text(data):
    return base64.b64encode(data).decode()


def bad_value(draw):
    """A JSON value that is an image for no input."""
    return draw.choice(
        [
            None, True, 5, -1, 1.5, 10**40, "", "Zm9v", "!", [], [[]], [1, [2]], {},
            {"b64": 5}, {"b64": "!"}, {"b64": "Zm9v", "x": 1}, [[[[1, 2]]]],
            [[[[1, 2, 300]]]], [[[[1, 2, -3]]]], [[["a"]]], {"images": 5},
            {"image_bytes": [1]}, {"image_bytes": []}, "\ud800", [float("nan")],
        ]
    )  # fmt: skip


def bad_document(draw):
    """(path, JSON value) that asks for nothing sensible."""
    image = {"b64": text(bad_image(draw))}
    return draw.choice(
        [
            ("/v1/search", {"images": [image]}),
            ("/v1/search", {"images": [bad_value(draw)], "k": 3}),
            ("/v1/search", {"ids": [draw.choice(["../0", "", "\x00", 5, None, "٣"])]}),
            ("/v1/search", {"ids": ["0"], "k": draw.choice([0, -1, 10**9, "3", []])}),
            ("/v1/search", {"ids": ["0"], "threshold": draw.choice([9, "x", [], {}])}),
            ("/v1/search", {"ids": ["0"] * 1000}),
            ("/v1/items", {"items": [{"id": "../../x", "image": image}]}),
            ("/v1/items", {"items": [{"id": bad_value(draw), "image": image}]}),
            ("/v1/items", {"items": bad_value(draw)}),
            ("/v1/models/encoder:predict", {"instances": bad_value(draw)}),
            ("/v1/models/encoder:predict", {"inputs": bad_value(draw)}),
            ("/v1/models/encoder:predict", {"signature_name": bad_value(draw)}),
            ("/v1/models/neighbors:predict", {"instances": [image]}),
            ("/v1/models/neighbors:predict", {"instances": [{"image_bytes": image}]}),
            ("/v1/models/../neighbors:predict", {"instances": [image]}),
            (
                "/v1/models/encoder:predict",
                {"signature_name": "serving_bytes", "inputs": [image, image]},
            ),
            (
                "/v1/models/encoder:predict",
                {"signature_name": "serving_bytes", "inputs": bad_value(draw)},
            ),
        ]
    )


def bad_json(draw):
    """(path, body) that does not parse."""
    path, document = bad_document(draw)
    body = json.dumps(document).encode()
    return path, draw.choice(
        [
            body[: draw.randrange(len(body))],
            draw.randbytes(draw.randrange(200)),
            b"[" * draw.randrange(10**5),
            b'{"a":' * draw.randrange(10**4),
            b"1" * draw.randrange(10**5),
            body + body,
            b"\xef\xbb\xbf\xff" + body,
        ]
    )


TRICKS = [
    "..",
    "%2e%2e",
    "%2f",
    "\\",
    "%00",
    "%ff",
    "etc/passwd",
    "C:",
    "~",
    "'",
    "%0d%0a",
]


def bad_path(draw):
    """(method, path) of something that is not there."""
    trick = "/".join(draw.choices(TRICKS, k=draw.randint(1, 9)))
    return draw.choice(
        [
            ("DELETE", f"/v1/items/{trick}"),
            ("GET", f"/v1/thumbnail?id={trick}"),
            ("GET", f"/v1/items?offset={trick}"),
            ("GET", f"/v1/items?limit={draw.choice([0, -1, 10**9, 'x', ''])}"),
            ("GET", f"/v1/models/{trick}"),
            ("GET", f"/v1/models/encoder/versions/{trick}"),
            ("GET", f"/v1/models/encoder/versions/{10 ** draw.randrange(1, 999)}"),
            ("POST", f"/v1/models/{trick}:predict"),
            ("GET", f"/{trick}"),
            ("GET", f"/web/{trick}"),
            ("GET", "/" + "x" * draw.randrange(10**4)),
            (draw.choice(["PUT", "PATCH", "DELETE", "TRACE", "X"]), "/v1/search"),
            (draw.choice(["PUT", "POST", "OPTIONS"]), "/readyz"),
            ("GET", "/v1/search"),
            ("GET", "/v1/models/encoder:predict"),
        ]
    )


def bad_form(draw):
    """(body, headers) of a multipart form."""
    boundary = draw.choice(["b", "", "x" * 300])
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    part = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="../x"\r\n\r\n'
    )
    file = part + bad_image(draw) + b"\r\n"
    return draw.choice(
        [(file * 100 + b"--b--", kind), (file, kind), (file + b"--b--", kind),
         (b"--b--\r\n", kind), (draw.randbytes(99), kind)]
    )  # fmt: skip


def bad_bytes(draw):
    """What comes over a connection that no HTTP request is, or one without an end."""
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
    return draw.choice(
        [
            draw.randbytes(draw.randint(4, 400)) + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            head + b"Content-Length: -5\r\n\r\n",
            head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
            head + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
            head + b"X: " + b"y" * 10**5 + b"\r\n\r\n",
            head.replace(b"localhost", b"evil.example") + b"Content-Length: 0\r\n\r\n",
            head + b"Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
        ]
    )


def slow_bytes(draw):
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n"
    return (head + b'{"ids": ["0"')[: draw.randint(1, len(head) + 12)]
