"""Digests of images that decode, many at a time.

All are decoded once before a run begins: that costs less than a part of one epoch, and
finds a broken file before the training that it would stop. tf.data's threads read and
decode, which Python's would do one after the other.
"""

import hashlib

import numpy as np
import tensorflow as tf

from npid_tf.command_line.progress import progress
from npid_tf.data.decode import check, decode
from npid_tf.data.sources.places.reading import reader
from npid_tf.errors import UserError

SMALL = 1 << 16  # bytes; files up to this size are handed to Python many at a time
AT_ONCE = 256
AT_A_URL = 32  # files read at once from a service, each of which takes its time


def digest_all(items, decoding):
    """(number, digest, None) of each `Item` that decodes, else (number, None, why).

    decoding: how they must decode.

    They come in no order.
    """
    unseen = np.ones(len(items), bool)
    with progress("Looking at the images", len(items)) as bar:
        for numbers, contents in _decoded(items, decoding):
            for number, content in zip(numbers, contents, strict=True):
                yield int(number), digest_of_bytes(content), None
            unseen[numbers] = False
            bar.update(len(numbers))
        for number in np.flatnonzero(unseen):
            yield int(number), None, _reason(items[number], decoding)
            bar.update()


def digest_of_bytes(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _decoded(items, decoding):
    """(numbers, contents) of those that decode, some at a time."""
    sizes = np.array([item.size for item in items])
    is_there = np.array([item.times is not None for item in items], bool)
    is_far = any("://" in item.path for item in items)
    read = reader(items)
    for chosen, at_once in (
        (is_there & (sizes <= SMALL), AT_ONCE),
        (is_there & (sizes > SMALL), 1),
    ):
        if not chosen.any():
            continue
        numbers = tf.data.Dataset.from_tensor_slices(np.flatnonzero(chosen))
        checked = numbers.map(
            lambda number: _checked(number, read(number), decoding),
            num_parallel_calls=AT_A_URL if is_far else tf.data.AUTOTUNE,
            deterministic=False,
        ).ignore_errors()
        if is_far:
            options = tf.data.Options()
            options.threading.private_threadpool_size = AT_A_URL
            checked = checked.with_options(options)
        for number, content, _ in (
            checked.batch(at_once).prefetch(2).as_numpy_iterator()
        ):
            yield number, content


def _checked(number, content, decoding):
    """What `decode` would refuse raises; the last one keeps it from being pruned."""
    # A JPEG at an eighth of its size: all its bytes are gone over, few pixels are made.
    area = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.size(tf.io.decode_jpeg(content, channels=3, ratio=8)),
        lambda: tf.size(decode(content, decoding)),
    )
    return number, content, area


def _reason(item, decoding):
    """Why an image does not decode, in words."""
    if item.times is None:
        return "it is not there"
    if not item.size:
        return "it is empty"
    try:
        check(item.read(), decoding)
    except (OSError, UserError) as error:
        return str(error)
    return "it changed while it was read"
