"""Requests that are small to send and would be large to answer, one of each kind.

`requests(size)` yields (kind, send): `send(port, grpc_port)` returns the status.
"""

import functools
import http.client
import io
import json
import struct
import zlib

import grpc
from PIL import Image
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import predict_pb2

from malformed import png, text

PREDICT = "/v1/models/encoder:predict"
GRPC_PREDICT = "/tensorflow.serving.PredictionService/Predict"
HEADERS = {"Content-Type": "application/json"}
UINT8, STRING, DOUBLE_COMPLEX = 4, 7, 18


def requests(size):
    """All kinds, with bodies of nearly `size` bytes where they fill one."""
    for kind, path, start, part, end in _documents():
        yield kind, _post(path, lambda s=start, p=part, e=end: _fill(s, p, e, size))
    yield "one byte a chunk", functools.partial(_send_chunks, size=size)
    yield (
        "form of boundaries",
        _post(
            "/v1/search",
            lambda: _fill(b"--b\r\n", b"\r\n--b\r", b"", size),
            {"Content-Type": "multipart/form-data; boundary=b"},
        ),
    )
    for kind, make in _images().items():
        yield (
            kind,
            _post(
                "/v1/search",
                lambda m=make: json.dumps({"images": [text(m())]}).encode(),
            ),
        )
    many = [text(png(850, 850))] * 64
    yield (
        "64 images",
        _post("/v1/search", lambda: json.dumps({"images": many}).encode()),
    )
    for kind, make in _messages(size).items():
        yield f"gRPC: {kind}", functools.partial(_call, make, None)
    bomb = functools.partial(_call, lambda: bytes(8 * size), grpc.Compression.Gzip)
    yield "gRPC: compressed zeros", bomb


def ask_for_one(port):
    """Sends what is not hostile, so that all of TensorFlow is there."""
    document = {"images": [text(_jpeg(64, 64)), text(png())]}
    status = _post("/v1/search", lambda: json.dumps(document).encode())(port, None)
    if status != 200:
        raise RuntimeError(f"A search was answered with {status}.")


def _documents():
    number = b"1" * 4200 + b","
    search = "/v1/search"
    yield "empty lists", search, b'{"ids": [', b"[],", b"[]]}"
    yield "nested lists", PREDICT, b'{"inputs": [', b"[[[[[]]]]],", b"[]]}"
    yield "lists that do not end", search, b'{"ids": ', b"[", b""
    yield "empty objects", "/v1/items", b'{"items": [', b"{},", b"{}]}"
    yield "objects in objects", search, b"", b'{"a":', b""
    yield "short texts", search, b'{"ids": [', b'"a",', b'"a"]}'
    yield "keys", search, b"{", b'"a":1,', b'"b":1}'
    yield "small numbers", PREDICT, b'{"instances": [', b"1,", b"1]}"
    yield "fractions", PREDICT, b'{"inputs": [', b"1.5,", b"1]}"
    yield "pixels", PREDICT, b'{"instances": [[[', b"[1,2,3],", b"[1,2,3]]]]}"
    yield "pixels, then none", PREDICT, b'{"instances": [[[', b"[1,2,3],", b"[1,2]]]]}"
    yield "long numbers", search, b'{"ids": ["",', number, b"1]}"
    yield "a long fraction", search, b'{"k": 1.', b"1", b"}"
    yield "escapes", search, b'{"ids": ["', b"\\n", b'"]}'
    yield "wide text", search, b'{"ids": ["', "\U0001f600".encode(), b'"]}'
    yield "one wide letter", search, b'{"ids": ["\xf0\x9f\x98\x80', b"a", b'"]}'
    yield "a long text", search, b'{"images": ["', b"A", b'"]}'


def _fill(start, part, end, size):
    return start + part * ((size - len(start) - len(end)) // len(part)) + end


def _post(path, make, headers=None):
    def send(port, grpc_port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request("POST", path, make(), headers or HEADERS)
            response = connection.getresponse()
            response.read()
            return response.status
        except OSError:
            return "closed"
        finally:
            connection.close()

    return send


def _send_chunks(port, grpc_port, size):
    chunks = b"1\r\nx\r\n" * (size // 8)
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.connect()
        connection.sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.sock.sendall(chunks + b"0\r\n\r\n")
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        return response.status
    except OSError:
        return "closed"
    finally:
        connection.close()


def _images():
    return {
        "JPEG of 49 Mpx": lambda: _jpeg(7000, 7000),
        "JPEG of 49 Mpx, 90 scans": lambda: _scans(_jpeg(7000, 7000, progressive=True)),
        "JPEG of 16 Mpx, 10 scans": lambda: _jpeg(4000, 4000, progressive=True),
        "PNG of 49 Mpx": lambda: png(7000, 7000),
        "PNG of 33 Mpx": lambda: png(5700, 5700),
        "PNG, interlaced": _interlaced,
        "PNG of text": _text_png,
        "GIF of 24 frames": _gif,
        "image of 50 to 1": lambda: png(5000, 100),
    }


def _jpeg(width, height, **options):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (9, 90, 200)).save(file, "JPEG", **options)
    return file.getvalue()


def _scans(data, number=90):
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[start:end] * (number - 10) + data[end:]


def _interlaced():
    """A PNG of 33 Mpx of the color nothing, in seven passes."""
    side = 5760
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 1)
    passes = [(8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2)]
    rows = b"".join(
        bytes((1 + 3 * side // across) * (side // down)) for across, down in passes
    )
    return _png([(b"IHDR", header), (b"IDAT", zlib.compress(rows))])


def _text_png():
    comment = b"a\0\0" + zlib.compress(bytes(7_900_000))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(8 * 25))
    texts = [(b"zTXt", comment)] * 900
    return _png([(b"IHDR", header), *texts, (b"IDAT", pixels)])


def _png(chunks):
    file = b"\x89PNG\r\n\x1a\n"
    for kind, data in [*chunks, (b"IEND", b"")]:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        file += struct.pack(">I", len(data)) + kind + data + crc
    return file


def _gif():
    file = io.BytesIO()
    frames = [Image.new("P", (1400, 1400), color) for color in range(24)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def _messages(size):
    """{kind: () -> bytes} of PredictRequests."""
    # Field 2 of a PredictRequest is an entry of the inputs, its field 2 the tensor.
    return {
        "invented inputs": lambda: _predict(
            {f"i{n}": _tensor(DOUBLE_COMPLEX, [1 << 25], scomplex_val=[0, 0])
             for n in range(4)}
        ),
        "one pixel for many": lambda: _predict(
            {"images": _tensor(UINT8, [64, 4000, 4000, 3], int_val=[7])}
        ),
        "one file for many": lambda: _predict(
            {"image_bytes": _tensor(STRING, [64], string_val=[bytes(size // 2)])},
            "serving_bytes",
        ),
        "packed numbers": lambda: _pixels([1, 3000, 3000, 3], size - 999),
        "pixels in numbers": lambda: _pixels([8, 500, 500, 3], 6_000_000),
        "empty inputs": lambda: b"\x12\x00" * (size // 2),
        "empty dimensions": lambda: _inside(b"\x12\x00", size, 2, 2, 2),
        "empty resources": lambda: _inside(b"\x72\x00", size, 2, 2),
        "empty variants": lambda: _inside(b"\x7a\x00", size, 2, 2),
        "empty texts": lambda: _inside(b"\x42\x00", size, 2, 2),
        "tensors in tensors": lambda: _nested(size),
        "output filters": lambda: b"\x1a\x00" * (size // 2),
        "unknown fields": lambda: b"\xf8\x3f\x01" * (size // 3),
        "unknown bytes": lambda: _field(99, bytes(size - 99)),
        "a long name": lambda: _field(1, _field(1, b"a" * (size - 99))),
        "zeros": lambda: bytes(size),
    }  # fmt: skip


def _tensor(dtype, dims, **values):
    shape = tensor_shape_pb2.TensorShapeProto(dim=[{"size": dim} for dim in dims])
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **values)


def _predict(inputs, signature=""):
    request = predict_pb2.PredictRequest(inputs=inputs)
    request.model_spec.name = "encoder"
    request.model_spec.signature_name = signature
    return request.SerializeToString()


def _pixels(dims, number):
    """Images whose pixels are a number of numbers of one byte."""
    tensor = _tensor(UINT8, dims).SerializeToString() + _field(7, b"\1" * number)
    return _predict({}) + _field(2, _field(1, b"images") + _field(2, tensor))


def _field(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def _inside(part, size, *numbers):
    data = part * ((size - 99) // len(part))
    for number in reversed(numbers):
        data = _field(number, data)
    return data


def _nested(size):
    data = b""
    for _ in range(1000):
        data = _field(15, _field(3, data))
    return _field(2, _field(2, data))


def _call(make, compression, port, grpc_port):
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}", options) as channel:
        try:
            channel.unary_unary(GRPC_PREDICT)(
                make(), timeout=120, compression=compression
            )
        except grpc.RpcError as error:
            return error.code().name
        return "OK"
