"""Tensors in JSON, as TensorFlow Serving's REST API writes them.

Ours, since no Python package has them: TensorFlow Serving's own code is C++.

https://www.tensorflow.org/tfx/serving/api_rest: `instances`, a list with a value or an
object for each row, or `inputs`, a value or an object of all rows; bytes as
`{"b64": ...}`. The error messages are in its words.
"""

import base64
import binascii
import itertools

import numpy as np
import tensorflow as tf

from npid_tf.server.http.json_document import MAX_RANK
from npid_tf.server.limits import RequestError, abridged

# What base64url has in place of these two.
_ALPHABET = bytes.maketrans(b"-_", b"+/")


def read_signature_name(document):
    """The signature that a request names, or the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError(
            400,
            f"JSON Value: {abridged(document)} not formatted correctly. "
            "'signature_name' key must be a string value.",
        )
    return name or "serving_default"


def read_inputs(document, dtypes):
    """The tensors of a request.

    Args:
        document: the JSON object.
        dtypes: {name: tf.DType} of the signature's inputs.

    Returns:
        ({name: array}, whether they came in rows). Strings are object arrays of bytes.

    Raises:
        RequestError: for what the signature does not take.
    """
    if "instances" in document and "inputs" in document:
        raise RequestError(
            400,
            f"JSON Value: {abridged(document)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist",
        )
    if "instances" in document:
        return _read_rows(document["instances"], dtypes), True
    if "inputs" in document:
        return _read_columns(document["inputs"], dtypes), False
    raise RequestError(400, "Missing 'inputs' or 'instances' key")


def _read_rows(rows, dtypes):
    if isinstance(rows, np.ndarray):
        return _read_columns(rows, dtypes, "instances")
    if not isinstance(rows, list):
        raise RequestError(
            400, f"JSON Value: {abridged(rows)} Expecting 'instances' to be a list"
        )
    if not rows:
        raise RequestError(400, "JSON Value: [] No values in 'instances' array")
    if not _is_named(rows[0]):
        return _read_columns(rows, dtypes, "instances")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != dtypes.keys():
            raise RequestError(
                400,
                f"Failed to process element: {number} of 'instances' list. JSON "
                f"object: {abridged(row)} keys must be equal to: {','.join(dtypes)}",
            )
    return {
        name: to_array([row[name] for row in rows], dtype)
        for name, dtype in dtypes.items()
    }


def _read_columns(value, dtypes, key="inputs"):
    if _is_named(value):
        missing = dtypes.keys() - value.keys()
        if missing:
            raise RequestError(
                400,
                f"Missing named input: {', '.join(missing)} in 'inputs' object. Known: "
                f"{', '.join(dtypes)}.",
            )
        return {name: to_array(value[name], dtype) for name, dtype in dtypes.items()}
    if len(dtypes) > 1:
        raise RequestError(
            400,
            f"{key} is a plain value or list, but expecting objects as multiple input "
            f"tensors are required: {', '.join(dtypes)}",
        )
    return {name: to_array(value, dtype) for name, dtype in dtypes.items()}


def _is_named(value):
    return isinstance(value, dict) and not is_base64(value)


def is_base64(value):
    """Whether a JSON value is {"b64": a string}."""
    return (
        isinstance(value, dict)
        and value.keys() == {"b64"}
        and isinstance(value["b64"], str)
    )


def decode_base64(value):
    """The bytes of a JSON value {"b64": ...}. Raises RequestError for another."""
    if not is_base64(value):
        raise RequestError(
            400,
            f"JSON Value: {abridged(value)} not formatted correctly for base64 data",
        )
    try:
        return _from_base64(value["b64"].encode("ascii"))
    except (binascii.Error, ValueError):
        raise RequestError(400, "Unable to base64 decode") from None


def _from_base64(text):
    """The bytes that base64 stands for, of either alphabet, with line breaks or not.

    Padding may be missing, but not be wrong. Raises ValueError for anything else.
    """
    text = text.translate(_ALPHABET, b" \t\r\n\v\f")
    digits = text.rstrip(b"=")
    padding = b"=" * (-len(digits) % 4)
    if len(text) > len(digits) and text != digits + padding:
        raise ValueError("wrong padding")
    return base64.b64decode(digits + padding, validate=True)


def to_array(value, dtype):
    """A JSON value as an array of a tf.DType, of any rank.

    Raises RequestError for ragged lists, values of another type or out of range.
    """
    if dtype == tf.string:
        return _to_strings(value)
    array = _to_numbers(value)
    if array.size == 0:
        return array.astype(dtype.as_numpy_dtype)
    kinds = {"b": "b", "f": "iuf", "i": "iu", "u": "iu"}[
        np.dtype(dtype.as_numpy_dtype).kind
    ]
    in_range = array.dtype.kind in kinds and (
        not dtype.is_integer or (array.min() >= dtype.min and array.max() <= dtype.max)
    )
    if not in_range:
        raise RequestError(
            400,
            f"JSON Value: {abridged(value)} is not of expected type: {dtype.name}",
        )
    return array.astype(dtype.as_numpy_dtype)


def _to_numbers(value):
    """An array of nested lists; of any dtype if they hold more than numbers."""
    shape = _outer_shape(value)
    leaves = [value]
    for size in shape:
        if not all(isinstance(item, list) and len(item) == size for item in leaves):
            raise RequestError(
                400,
                "Encountered list at unexpected size: its lists have several sizes",
            )
        leaves = list(itertools.chain.from_iterable(leaves))
    kinds = set(map(type, leaves))
    if kinds == {np.ndarray} and len({leaf.shape for leaf in leaves}) == 1:
        array = np.stack(leaves)
        return array.reshape(*shape, *array.shape[1:])
    if kinds & {list, np.ndarray}:
        raise RequestError(
            400, "Encountered list at unexpected size: its lists have several sizes"
        )
    # Strings would all become as long as the longest.
    dtype = None if kinds <= {int, float, bool} else object
    return np.array(leaves, dtype).reshape(shape)


def _outer_shape(value):
    """The sizes of a nested list along its first elements."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    if len(shape) > MAX_RANK:
        raise RequestError(
            400, f"Lists may be nested {MAX_RANK} deep. Received: {len(shape)}."
        )
    return shape


def _to_strings(value):
    shape, leaves = _outer_shape(value), []
    _collect(value, shape, leaves)
    array = np.empty(len(leaves), object)
    array[:] = leaves
    return array.reshape(shape)


def _collect(value, shape, leaves):
    if shape:
        if not isinstance(value, list) or len(value) != shape[0]:
            raise RequestError(
                400,
                f"JSON Value: {abridged(value)} expected a list of size: {shape[0]}",
            )
        for item in value:
            _collect(item, shape[1:], leaves)
    elif isinstance(value, str):
        leaves.append(value.encode("utf-8", "replace"))
    elif isinstance(value, dict):
        leaves.append(decode_base64(value))
    else:
        raise RequestError(
            400, f"JSON Value: {abridged(value)} is not of expected type: string"
        )


def write_outputs(outputs, in_rows):
    """The JSON document of {name: array}, in the format in which the inputs came."""
    values = {name: _to_json(name, array) for name, array in sorted(outputs.items())}
    if len(values) == 1:
        (value,) = values.values()
        return {"predictions" if in_rows else "outputs": value}
    if in_rows:
        rows = zip(*values.values(), strict=True)
        return {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}
    return {"outputs": values}


def _to_json(name, array):
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        return _map(_to_base64, array.tolist())
    return _map(lambda item: item.decode("utf-8", "replace"), array.tolist())


def _to_base64(data):
    return {"b64": base64.b64encode(data).decode()}


def _map(function, value):
    if isinstance(value, list):
        return [_map(function, item) for item in value]
    return function(value)
