"""TensorProtos to arrays: what they stand for is priced before it is made."""

import math

import numpy as np
import tensorflow as tf

from npid_tf.server.inputs import check_names, check_tensor
from npid_tf.server.limits import RequestError, abridged

PIECE = 1 << 16  # Values that become Python's at once, with its lock held.
POINTER_BYTES = 8
_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.uint64: "uint64_val",
    tf.uint32: "uint32_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint16: "int_val",
    tf.uint8: "int_val",
}


def price(protos, specs, limits):
    """Bytes that the arrays of TensorProtos fill together.

    Args:
        protos: {name: TensorProto}.
        specs: {name: tf.TensorSpec} of the signature.
        limits: Limits.

    Raises:
        RequestError: for other names, dtypes or shapes than the signature's, for values
            that are not as many as the shape says, for too many rows, and if the
            arrays fill more than a message may.
    """
    check_names(protos.keys(), specs)
    total = 0
    for name, spec in specs.items():
        proto = protos[name]
        shape = [dim.size for dim in proto.tensor_shape.dim]
        if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
            raise RequestError(
                400, f"`{name}` has no certain shape. Received: {abridged(shape)}."
            )
        dtype = _dtype(name, proto)
        if dtype != spec.dtype:
            check_tensor(name, dtype, tf.TensorShape(shape), spec)
        total += _num_bytes(name, proto, dtype, math.prod(shape))
        if total > limits.body_bytes:
            raise RequestError(
                413,
                f"`{name}` is too large: inputs may fill {limits.body_bytes:,} bytes. "
                f"Received: {abridged(shape)}.",
            )
        check_tensor(name, dtype, tf.TensorShape(shape), spec)
        limits.check_num_images(shape[0] if shape else 1)
    return total


def to_array(name, proto):
    """The array of a TensorProto that `price` let pass; of strings an object array.

    One value, or the last of some, stands for the rest of the shape, as in TensorFlow.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    dtype = tf.as_dtype(proto.dtype)
    kind = object if dtype == tf.string else dtype.as_numpy_dtype
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, kind).reshape(shape)
    values = getattr(proto, _FIELDS[dtype])
    array = np.empty(math.prod(shape), kind)
    try:
        for start in range(0, len(values), PIECE):
            piece = values[start : start + PIECE]
            # Made from a list that NumPy checks: a number that does not fit raises.
            array[start : start + len(piece)] = np.array(list(piece), kind)
    except (OverflowError, ValueError) as error:
        raise RequestError(
            400, f"`{name}` is not a {dtype.name} tensor: {abridged(str(error))}"
        ) from None
    if len(values):
        array[len(values) :] = values[-1]
    return array.reshape(shape)


def _dtype(name, proto):
    try:
        return tf.as_dtype(proto.dtype)
    except TypeError:
        raise RequestError(
            400, f"`{name}` is of no known dtype. Received: {proto.dtype}."
        ) from None


def _num_bytes(name, proto, dtype, size):
    """Bytes that an array of so many values fills.

    Raises RequestError if those sent cannot be its values.
    """
    if proto.tensor_content:
        if dtype == tf.string or len(proto.tensor_content) != size * dtype.size:
            raise RequestError(
                400,
                f"`{name}` is not a tensor: `tensor_content` has "
                f"{len(proto.tensor_content):,} bytes for {size:,} of {dtype.name}.",
            )
        return len(proto.tensor_content)
    if dtype not in _FIELDS:
        raise RequestError(
            400, f"`{name}`: {dtype.name} must be sent as `tensor_content`."
        )
    values = getattr(proto, _FIELDS[dtype])
    if len(values) > size or (size and not values):
        raise RequestError(
            400,
            f"`{name}` is not a tensor: {len(values):,} values in "
            f"`{_FIELDS[dtype]}` for {size:,}.",
        )
    if dtype != tf.string:
        return size * dtype.size
    # The last one stands for the rest, and TensorFlow copies each.
    repeated = (size - len(values)) * len(values[-1]) if size else 0
    return sum(map(len, values)) + repeated + size * POINTER_BYTES
