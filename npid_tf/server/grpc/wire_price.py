"""The memory that a protobuf message needs once parsed, computed from its bytes.

Two bytes of an empty message in a list become two hundred, and one byte of a packed
number eight: 32 MB could fill gigabytes before anything of them is looked at.
"""

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from npid_tf.server.limits import RequestError

# Bytes that a field takes at most, be it a message of its own or a piece of text.
FIELD_BYTES = 512
MAX_BYTES = 64 << 20
MAX_DEPTH = 50

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Bytes of a number in a list, which doubles as it grows.
_PACKED = {
    FieldDescriptor.TYPE_BOOL: 2,
    FieldDescriptor.TYPE_ENUM: 8,
    FieldDescriptor.TYPE_INT32: 8,
    FieldDescriptor.TYPE_UINT32: 8,
    FieldDescriptor.TYPE_SINT32: 8,
    FieldDescriptor.TYPE_INT64: 16,
    FieldDescriptor.TYPE_UINT64: 16,
    FieldDescriptor.TYPE_SINT64: 16,
}


def read_message(kind, data):
    """A message of a class from bytes.

    Raises RequestError for what does not decode, or would fill more than MAX_BYTES
    beside the bytes themselves.
    """
    try:
        _Price().add(kind.DESCRIPTOR, memoryview(data), 0)
        return kind.FromString(data)
    except (DecodeError, IndexError):
        raise RequestError(
            400, f"The message does not decode as {kind.DESCRIPTOR.full_name}."
        ) from None


class _Price:
    def __init__(self):
        self.num_bytes = 0

    def add(self, descriptor, data, depth):
        """Adds the price of a message. Raises IndexError for malformed bytes."""
        if depth > MAX_DEPTH:
            raise IndexError
        fields = descriptor.fields_by_number
        position, end = 0, len(data)
        while position < end:
            self._pay(FIELD_BYTES)
            tag, position = _varint(data, position)
            wire_type = tag & 7
            if wire_type == _VARINT:
                _, position = _varint(data, position)
            elif wire_type == _FIXED64:
                position += 8
            elif wire_type == _FIXED32:
                position += 4
            elif wire_type == _BYTES:
                size, position = _varint(data, position)
                content = data[position : position + size]
                position += size
                field = fields.get(tag >> 3)
                if position > end:
                    raise IndexError
                if field is not None and field.message_type is not None:
                    self.add(field.message_type, content, depth + 1)
                elif field is not None and field.type in _PACKED:
                    self._pay(_PACKED[field.type] * _count_varints(content))
            else:
                raise IndexError
        if position > end:
            raise IndexError

    def _pay(self, num_bytes):
        self.num_bytes += num_bytes
        if self.num_bytes > MAX_BYTES:
            raise RequestError(
                413,
                "The message is too large once it is parsed: send `tensor_content`, "
                "and fewer fields.",
            )


def _varint(data, position):
    """(the number at a position, the position after it)."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise IndexError


def _count_varints(content):
    return int(np.count_nonzero(np.frombuffer(content, np.uint8) < 0x80))
