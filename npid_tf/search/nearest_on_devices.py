"""The search of `knn.nearest` in TensorFlow, over all GPUs of this process."""

import contextlib

import numpy as np
import tensorflow as tf

# With rows 25,000 at a time, 410 MB of similarities.
QUERIES_AT_ONCE = 4096
NOT_FOUND = 2**31 - 1


def gpus():
    """The names of this process's GPUs, none of another worker's: a list."""
    return [f"GPU:{i}" for i, _ in enumerate(tf.config.get_visible_devices("GPU"))]


def nearest_of_each(queries, chunks, k, devices):
    """The k most similar of the rows that each device is given, and all rows' number.

    The chunks are dealt out in turn: a device multiplies all queries with its own and
    keeps the best, of equals the lower rows, first.

    Args:
        queries: float32 [num_queries, dim], finite.
        chunks: iterable of float32 [rows, dim], in order.
        k: neighbors.
        devices: names of devices, at least one.

    Returns:
        (similarities, rows, num_rows): float32 and int64 [num_queries, devices * k];
        if a device had less than k rows, -inf and `NOT_FOUND`.
    """
    starts = range(0, len(queries), QUERIES_AT_ONCE)
    groups = [queries[start : start + QUERIES_AT_ONCE] for start in starts]
    states = [_first_state(device, groups, k) for device in devices]
    num_rows = 0
    with _whole_float32():
        for number, chunk in enumerate(chunks):
            device = number % len(devices)
            with tf.device(devices[device]):
                rows = tf.constant(chunk)
                for state in states[device]:
                    state[1:] = _better(*state, rows, num_rows)
            num_rows += len(chunk)
        found = [
            [np.concatenate([state[part] for state in own]) for part in (1, 2)]
            for own in states
            if own
        ]
    if not found:
        return np.empty([0, k], np.float32), np.empty([0, k], np.int64), num_rows
    similarities, rows = (np.concatenate(part, 1) for part in zip(*found, strict=True))
    return similarities, rows, num_rows


def _first_state(device, groups, k):
    """Of each group of queries: themselves, the best similarities and their rows."""
    with tf.device(device):
        return [
            [
                tf.constant(group),
                tf.fill([len(group), k], tf.constant(-np.inf, tf.float32)),
                tf.fill([len(group), k], tf.constant(NOT_FOUND, tf.int64)),
            ]
            for group in groups
        ]


def _better(queries, best, best_rows, rows, first_row):
    """The best similarities and rows of what was the best and of new rows."""
    k = best.shape[1]
    similarities = tf.matmul(queries, rows, transpose_b=True) + 0.0  # -0.0: 0.0
    # Of equals `top_k` keeps the first: what was found before are lower rows.
    best, places = tf.math.top_k(tf.concat([best, similarities], axis=1), k)
    places = tf.cast(places, tf.int64)  # A GPU computes with int32 on the host.
    kept = tf.gather(best_rows, tf.minimum(places, k - 1), batch_dims=1)
    return best, tf.where(places < k, kept, places + (first_row - k))


@contextlib.contextmanager
def _whole_float32():
    """Products of float32 are exact to float32: by default GPUs round to 10 bits."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)
