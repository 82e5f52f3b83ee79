"""From the bytes of a request's body to its JSON object, at a price that is bounded.

Python makes an object of each value and holds its lock as long as one call of its
parser takes: 31 MB of empty lists fill a gigabyte, and nothing else is answered
meanwhile. So large lists of numbers become arrays, a piece at a time, and the rest may
hold no more values than a request for some images does.
"""

import json
import math
import re
import secrets

import numpy as np

from npid_tf.server.limits import RequestError, abridged

AT_ONCE_BYTES = 1 << 16  # What is shorter is parsed as it is.
MAX_VALUES = 200_000
MAX_WIDE_BYTES = 1 << 18
MAX_ESCAPES = 1 << 20  # Some clients write base64 with a \/ in 64 letters.
MIN_ARRAY_BYTES = 4096
MAX_RANK = 8
PIECE_BYTES = 1 << 18

_NUMBERS = b"0123456789+-.eE"
_SPACE = b" \t\r\n"
_IS_OTHER = bytes(
    0 if byte in _NUMBERS + _SPACE + b"[,]" else ord("x") for byte in range(256)
)
_WITHOUT_LISTS = bytes.maketrans(b"[]", b"  ")


def parse_object(body):
    """The JSON object in a request's body.

    Large rectangular lists of numbers are arrays in it: uint8, int32, int64 or float64.
    Raises RequestError for anything else, for a duplicate key, and for more
    values than a request can need.
    """
    if not body:
        raise RequestError(400, "JSON Parse error: The document is empty")
    arrays = {}
    if len(body) > AT_ONCE_BYTES:
        body = _to_ascii(_lift_arrays(body, arrays))
        _check_price(body)

    def read_pairs(pairs):
        document = {key: _lifted(value, arrays) for key, value in pairs}
        if len(document) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in document if keys.count(key) > 1)
            raise RequestError(400, f"JSON Value: {abridged(twice)} is there twice")
        return document

    try:
        # A function of Python's for each number, since long ones take their time.
        document = json.loads(body, object_pairs_hook=read_pairs, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise RequestError(400, f"JSON Value: {abridged(document)} Is not object")
    return document


def _integer(text):
    return int(text)


def _lifted(value, arrays):
    return arrays.get(value, value) if arrays and isinstance(value, str) else value


def _check_price(body):
    """Raises RequestError if there are more values than a request can need."""
    view = np.frombuffer(body, np.uint8)
    counts = {byte: _count(view, byte) for byte in b",:[{\\"}
    escapes = counts.pop(b"\\"[0])
    if sum(counts.values()) > MAX_VALUES:
        raise RequestError(
            413,
            f"A request may hold {MAX_VALUES:,} JSON values, besides rectangular lists "
            f"of numbers. Received: {sum(counts.values()):,}.",
        )
    if escapes > MAX_ESCAPES:
        raise RequestError(
            413,
            f"A request may have {MAX_ESCAPES:,} escapes in its text. Received: "
            f"{escapes:,}.",
        )


def _to_ascii(body):
    """The same JSON with escapes for what is not ASCII, which would widen all of it."""
    if body.isascii() or json.detect_encoding(body) != "utf-8":
        return body
    number = int(np.count_nonzero(np.frombuffer(body, np.uint8) >= 128))
    if number > MAX_WIDE_BYTES:
        raise RequestError(
            413,
            f"A request may have {MAX_WIDE_BYTES:,} bytes of text beyond ASCII. "
            f"Received: {number:,}.",
        )
    try:
        return re.sub(b"[\x80-\xff]+", _escape, body)
    except ValueError as error:
        raise RequestError(400, f"JSON Parse error: {error}") from None


def _escape(match):
    return json.dumps(match.group().decode("utf-8", "surrogatepass"))[1:-1].encode()


def _count(view, byte):
    """How often a byte occurs; NumPy lets other threads run meanwhile."""
    size = 1 << 20
    return sum(
        int(np.count_nonzero(view[start : start + size] == byte))
        for start in range(0, len(view), size)
    )


def _lift_arrays(body, arrays):
    """The body with a name for each large list of numbers, which `arrays` gets."""
    text = body
    if b"\\" in body:  # Only quotes that are not escaped begin and end text.
        text = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    nonce = secrets.token_hex(16)  # No client can write such a name.
    parts, done, in_text, counted_to = [], 0, 0, 0
    for start, end in _runs(body):
        in_text += text.count(b'"', counted_to, start)
        counted_to = start
        array = None if in_text % 2 else _read_array(body[start:end])
        if array is not None:
            name = f"{nonce}{len(arrays)}"
            arrays[name] = array
            parts += [body[done:start], f'"{name}"'.encode()]
            done = end
    return b"".join([*parts, body[done:]]) if parts else body


def _runs(body):
    """(start, end) of what may be a large list of numbers and the value of a key."""
    classes = body.translate(_IS_OTHER)
    runs, looked_at = [], 0
    start = body.find(b"[")
    while start >= 0 and looked_at < MAX_VALUES:
        looked_at += 1
        stop = classes.find(b"x", start)
        stop = len(body) if stop < 0 else stop
        end = body.rfind(b"]", start, stop) + 1
        before = body[max(0, start - 99) : start].rstrip(_SPACE)
        if end - start >= MIN_ARRAY_BYTES and before.endswith(b":"):
            runs.append((start, end))
        start = body.find(b"[", max(start + 1, stop))
    return runs


def _read_array(text):
    """The array that a rectangular list of numbers is, or None for anything else."""
    shape = _shape(text)
    if shape is None:
        return None
    flat = text.translate(_WITHOUT_LISTS)
    del text
    parts, start = [], 0
    while start < len(flat):
        end = flat.rfind(b",", start, start + PIECE_BYTES)
        end = len(flat) if start + PIECE_BYTES >= len(flat) or end < 0 else end
        try:
            values = json.loads(b"[%b]" % flat[start:end])
        except ValueError:
            return None  # The parser of the whole document says what is wrong.
        if not set(map(type, values)) <= {int, float}:
            return None
        part = _smallest(np.array(values))
        if part is None:
            return None
        parts.append(part)
        start = end + 1
    array = np.concatenate(parts)
    return array.reshape(shape) if array.size == math.prod(shape) else None


def _shape(text):
    """The shape of nested lists, from their brackets and commas."""
    skeleton = text.translate(None, _NUMBERS + _SPACE)
    rank = len(skeleton) - len(skeleton.lstrip(b"["))
    if rank > MAX_RANK:
        return None
    shape, unit = [], b""
    for level in range(rank):
        begin = rank - 1 - level
        end = skeleton.find(b"]" * (level + 1), begin) + level + 1
        number = (end - begin - 2 + 1) // (len(unit) + 1)
        if number < 1 or number * (len(unit) + 1) != end - begin - 1:
            return None
        unit = b"[%b]" % ((unit + b",") * number)[:-1]
        shape.insert(0, number)
    return shape if unit == skeleton else None


def _smallest(array):
    """Integers as uint8 or int32 if they fit; None for what is beyond int64."""
    if array.dtype.kind == "f":
        return array
    if array.dtype != np.int64:
        return None
    least, most = array.min(), array.max()
    for dtype in (np.uint8, np.int32):
        if np.iinfo(dtype).min <= least and most <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array
