"""Runs a model over a whole data set, on all replicas."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from npid_tf.checks.arguments import whole_number
from npid_tf.command_line.progress import progress
from npid_tf.distribution import replicas
from npid_tf.errors import UserError

BATCH_SIZE = 256  # images at a time, over all replicas


def embed(
    model: Callable,
    dataset: tf.data.Dataset,
    num_instances: int,
    *,
    training: bool = False,
) -> np.ndarray | tuple[np.ndarray, ...]:
    """What `model` gives for every image, row i that of index i.

    A model that was made in the scope of a strategy runs on all of its replicas. The
    images go through in whole batches, the last one filled up with the first images.

    Args:
        model: from images [batch, height, width, 3] to [batch, dim], or to a tuple of
            those.
        dataset: of batches of (images, indices), every index once; indices are int64
            [batch].
        num_instances: how many images there are.
        training: whether batch norm takes its statistics from the batches.

    Returns:
        float32 array [num_instances, dim], or a tuple of them; NaN if an index is
        missing.

    Raises:
        ValueError: for a data set of something else, and indices that are not in [0,
            num_instances).

    Example:

    >>> import keras, numpy as np, tensorflow as tf
    >>> from npid_tf import build_encoder, embed
    >>> images = np.zeros([6, 8, 8, 3], np.uint8)
    >>> dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(6))).batch(4)
    >>> backbone = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Flatten()])
    >>> embed(build_encoder(backbone, embedding_dim=16), dataset, len(images)).shape
    (6, 16)
    """
    num_instances = whole_number("num_instances", num_instances, 1)
    rows: list[np.ndarray] = []
    for indices, outputs in embed_batches(model, dataset, num_instances, training):
        check_indices(indices, num_instances)
        if not rows:
            shapes = [(num_instances, output.shape[1]) for output in outputs]
            rows = [np.full(shape, np.nan, np.float32) for shape in shapes]
        for array, output in zip(rows, outputs, strict=True):
            array[indices] = output
    return rows[0] if len(rows) == 1 else tuple(rows)


def _check(model, dataset):
    if not callable(model):
        raise UserError(
            "`model` must be a Keras model, or a function of images. Received: "
            f"{type(model).__name__}."
        )
    elements = getattr(dataset, "element_spec", None)
    if not isinstance(elements, tuple) or len(elements) != 2:
        received = type(dataset).__name__ if elements is None else elements
        raise UserError(
            "`dataset` must be a tf.data.Dataset of batches of (images, indices). "
            f"Received: {received}."
        )


def embed_batches(model, dataset, num_images, training=False):
    """The same a batch at a time: yields (indices, a list of the model's outputs).

    num_images: how many images the data set has; the last batch has its first again.
    """
    _check(model, dataset)
    strategy = getattr(model, "distribute_strategy", tf.distribute.get_strategy())
    # Whole batches: none too small for all replicas, no shape that traces again.
    num_replicas = strategy.num_replicas_in_sync
    size = -(-BATCH_SIZE // num_replicas) * num_replicas
    batches = dataset.unbatch().repeat().batch(size, drop_remainder=True)
    batches = batches.take(-(-num_images // size)).prefetch(tf.data.AUTOTUNE)
    forward = _forward(model, strategy, training)
    with progress("Embedding", num_images) as bar:
        for number, batch in enumerate(_to_replicas(batches, size, strategy)):
            *outputs, indices = (tensor.numpy() for tensor in forward(*batch))
            bar.update(min(size, num_images - number * size))
            yield indices, outputs


def check_indices(indices, num_images):
    """Raises ValueError unless indices are integers in [0, num_images)."""
    is_integer = np.issubdtype(indices.dtype, np.integer)
    if not is_integer or indices.min() < 0 or indices.max() >= num_images:
        raise UserError(
            f"Indices must be integers in [0, {num_images}), the number of each image. "
            f"Received: {indices.dtype}, {indices.min()} to {indices.max()}."
        )


# Kept, so that evaluating a model after every epoch traces it once.
@functools.lru_cache(maxsize=2)
def _forward(model, strategy, training):
    """A function to the outputs and the indices of the batches of all replicas."""

    def on_replica(images, indices):
        outputs = tf.nest.flatten(model(images, training=training))
        # In mixed precision all but the embeddings are of 16 bits.
        outputs = [tf.cast(output, tf.float32) for output in outputs]
        return [replicas.all_gather(tensor) for tensor in (*outputs, indices)]

    @tf.function(autograph=False)
    def forward(images, indices):
        gathered = strategy.run(on_replica, (images, indices))
        return [strategy.experimental_local_results(tensor)[0] for tensor in gathered]

    return forward


def _to_replicas(batches, size, strategy):
    """The batches, each divided among the replicas."""
    if strategy.num_replicas_in_sync == 1:
        return batches

    def own_batches(context):
        workers, count = context.num_input_pipelines, strategy.num_replicas_in_sync
        parts = batches.unbatch().batch(size // workers, drop_remainder=True)
        parts = parts.shard(workers, context.input_pipeline_id)
        return parts.unbatch().batch(size // count, drop_remainder=True)

    return strategy.distribute_datasets_from_function(own_batches)
