"""What is checked of a predict request's tensors before a model sees them."""

import itertools

import tensorflow as tf

from npid_tf.server.image_header import array_cost, decoding_cost
from npid_tf.server.limits import RequestError


def check_inputs(inputs, specs, limits):
    """The cost of each row, in pixels, of inputs that a signature takes.

    Args:
        inputs: {name: array}.
        specs: {name: tf.TensorSpec} of the signature.
        limits: Limits.

    Raises:
        RequestError: for other names, shapes or dtypes, too many rows, or images that
            are too large or are none.
    """
    check_names(inputs.keys(), specs)
    for name, spec in specs.items():
        value = inputs[name]
        dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
        check_tensor(name, dtype, tf.TensorShape(value.shape), spec)
    numbers = {len(value) for value in inputs.values()}
    if len(numbers) > 1:
        raise RequestError(400, f"inputs have several batch sizes: {sorted(numbers)}")
    limits.check_num_images(*numbers)
    costs = [0] * numbers.pop()
    for name, value in inputs.items():
        for row, cost in enumerate(_costs(name, value, limits.pixels)):
            costs[row] += cost
    return costs


def check_names(names, specs):
    """Raises RequestError if inputs have other names than a signature's."""
    if names != specs.keys():
        shown = ",".join(sorted(itertools.islice(names, 9)))
        raise RequestError(
            400,
            f"input size does not match signature: expected {{{','.join(specs)}}}. "
            f"Received: {{{shown[:80]}}}.",
        )


def check_tensor(name, dtype, shape, spec):
    """Raises RequestError if an input has another dtype or shape than its spec."""
    if dtype != spec.dtype or not spec.shape.is_compatible_with(shape):
        raise RequestError(
            400,
            f"`{name}` must be {spec.dtype.name} {spec.shape}. Received: "
            f"{dtype.name} {list(shape)}.",
        )


def _costs(name, value, max_pixels):
    if name == "image_bytes":
        return [decoding_cost(item, max_pixels) for item in value]
    if value.ndim == 4:
        return [array_cost(*value.shape[1:3], max_pixels)] * len(value)
    return [1] * len(value)
