"""What may be wrong with a batch, told at the call that it is given to.

Shapes and dtypes raise ValueError where a function is called or traced. What only the
numbers tell raises ValueError eagerly and InvalidArgumentError, in the same words, in a
graph. XLA drops assertions: `NPID` makes them before the part of a step that XLA
compiles, and whoever compiles a bank's or a loss's own call gets NaN for wrong indices.
"""

import contextlib
import functools
import re
import threading

import keras
import tensorflow as tf

from npid_tf.checks.keras_backend import check_backend
from npid_tf.errors import UserError

check_backend()  # Here, since every layer imports this module.
NAME = "npid_tf_check"  # Of the assertions in a graph.
_place = threading.local()  # Replicas are traced in threads of their own.


@contextlib.contextmanager
def checked():
    """In it no assertion is made: the batch was checked where it was unpacked."""
    before = getattr(_place, "is_checked", False)
    _place.is_checked = True
    try:
        yield
    finally:
        _place.is_checked = before


def unpack(data, num_instances):
    """(images, indices) of a batch that Keras passes to a step: indices int64 [batch].

    Raises as `checked_indices`, and ValueError for a batch of something else.
    """
    images, indices, weights = keras.utils.unpack_x_y_sample_weight(data)
    if indices is None or weights is not None:
        raise UserError(
            "NPID trains on batches of (images, indices), where `indices` number the "
            "images. Received: "
            + ("images alone." if indices is None else "sample weights as well.")
        )
    for name, part in (("images", images), ("indices", indices)):
        if tf.nest.is_nested(part):
            raise UserError(
                f"`{name}` must be one tensor. Received: a {type(part).__name__}."
            )
    images = tf.convert_to_tensor(images)  # NumPy's, where a batch is run eagerly.
    if not images.dtype.is_floating and not images.dtype.is_integer:
        raise UserError(
            f"`images` must be numbers, 0..255. Received: {images.dtype.name}."
        )
    indices = checked_indices(indices, num_instances, images)
    return images, same_batch(indices, images)


def checked_indices(indices, num_instances, images=None):
    """The rows of a batch's images: integers [batch] or [batch, 1] -> int64 [batch].

    images: of the same batch, [batch, ...], where they are at hand.

    Raises:
        ValueError: for floats, another shape or batch size, or, eagerly, numbers
            outside of [0, num_instances); in a graph InvalidArgumentError.
    """
    indices = tf.convert_to_tensor(indices)
    shape = indices.shape
    if shape.rank is not None and shape.rank != 1 and shape[1:].as_list() != [1]:
        raise UserError(
            "`indices` must be [batch] or [batch, 1], one number for each image. "
            f"Received: {shape}."
        )
    if shape.rank != 1:
        indices = tf.reshape(indices, [-1])
    if images is not None:
        _check_same_batch(indices, images)
    return checked_numbers(indices, num_instances)


def checked_numbers(indices, num_instances):
    """Indices of any shape: integers -> int64. Raises as `checked_indices`."""
    indices = tf.convert_to_tensor(indices)
    if not indices.dtype.is_integer:
        raise UserError(
            "`indices` must be integers, the number of each image. Received: "
            f"{indices.dtype.name}."
        )
    indices = tf.cast(indices, tf.int64)
    with tf.device("CPU:0"):  # Where a data set leaves them: no GPU is waited for.
        lowest, highest = tf.reduce_min(indices), tf.reduce_max(indices)
        return after(
            (lowest >= 0) & (highest < num_instances),
            indices,
            f"`indices` must be in [0, {num_instances}), the bank's rows. Received: "
            "numbers from ",
            lowest,
            " to ",
            highest,
            f", where num_instances={num_instances}. Make the bank as large as the "
            "data set, and number its images from 0.",
        )


def _check_same_batch(indices, images):
    counts = indices.shape[0], images.shape[0]
    if None not in counts and counts[0] != counts[1]:
        raise UserError(
            "A batch must have an index for each image. Received: "
            f"{counts[1]} images, {counts[0]} indices."
        )


def checked_pairs(indices, embeddings, bank):
    """(indices, embeddings) of one batch: int64 [batch], float32 [batch, d].

    Raises as `checked_indices`, and for embeddings of another shape or dtype.
    """
    embeddings = tf.convert_to_tensor(embeddings)
    shape = embeddings.shape
    if not embeddings.dtype.is_floating or shape.rank not in (None, 2):
        raise UserError(
            f"`embeddings` must be floats [batch, {bank.embedding_dim}]. Received: "
            f"{embeddings.dtype.name} {shape}."
        )
    if shape.rank and shape[1] not in (None, bank.embedding_dim):
        raise UserError(
            f"`embeddings` must have the bank's {bank.embedding_dim} columns. "
            f"Received: {shape}."
        )
    indices = checked_indices(indices, bank.num_instances, embeddings)
    embeddings = tf.cast(embeddings, tf.float32)
    if not (indices.shape[0] and shape.rank and shape[0]):
        indices = same_batch(indices, embeddings)
    return indices, embeddings


def same_batch(indices, images):
    """`indices`, asserted to be as many as the images."""
    counts = tf.shape(indices)[0], tf.shape(images)[0]
    return after(
        tf.equal(*counts),
        indices,
        "A batch must have an index for each image. Received: ",
        counts[1],
        " images, ",
        counts[0],
        " indices.",
    )


def after(condition, value, *said):
    """`value`, after it was asserted that the condition holds.

    said: strings and tensors that make the message.
    """
    if getattr(_place, "is_checked", False):
        return value
    return asserted(condition, value, *said)


def asserted(condition, value, *said):
    """As `after`, of what is found out within a step as well."""
    if tf.executing_eagerly():
        if not bool(condition):
            said = (part.numpy() if tf.is_tensor(part) else part for part in said)
            raise UserError("".join(map(str, said)))
        return value
    assertion = tf.debugging.Assert(condition, list(said), name=NAME)
    with tf.control_dependencies([assertion]):
        return tf.identity(value)


def checked_finite(embeddings):
    """`embeddings`, asserted to be finite."""
    return after(
        tf.reduce_all(tf.math.is_finite(embeddings)),
        embeddings,
        "`embeddings` must be finite. Received: NaN or infinity.",
    )


def are_rows(indices, num_instances):
    """Whether all indices are rows of a bank: a bool scalar."""
    return tf.reduce_all((indices >= 0) & (indices < num_instances))


def nan_outside(rows, indices, num_instances):
    """Rows [..., d], NaN where the index [...] is none of the bank's: under XLA no
    assertion says so."""
    is_row = (indices >= 0) & (indices < num_instances)
    return tf.where(is_row[..., None], rows, float("nan"))


def nan_where_pixels(losses, images):
    """Losses [batch], NaN where an image [batch, ...] has pixels that are not finite.

    The encoder may swallow them: the larger of NaN and a number is the number.
    """
    if not images.dtype.is_floating:
        return losses
    pixels = tf.reshape(tf.cast(images, tf.float32), [tf.shape(losses)[0], -1])
    is_finite = tf.math.is_finite(tf.reduce_sum(pixels, axis=1))
    return tf.where(is_finite, losses, float("nan"))


def in_words(function):
    """A step's function, whose failed checks are ValueErrors as they are eagerly."""

    @functools.wraps(function)
    def run(iterator):
        try:
            return function(iterator)
        except tf.errors.InvalidArgumentError as error:
            found = re.search(
                r"assertion failed: \[(.*)\]$", error.message, re.MULTILINE
            )
            if found is None or NAME not in error.message:
                raise
            raise UserError("".join(found[1].split("] ["))) from error

    return run
