"""Runs a model over a whole data set."""

import functools

import numpy as np
import tensorflow as tf


def embed(model, dataset, num_instances):
    """What `model` gives for every image, in inference mode.

    Args:
        model: from images to [batch, dim], or to a tuple of those.
        dataset: of (images, indices), every index once.
        num_instances: how many there are.

    Returns:
        float32 array [num_instances, dim], row i that of index i, or a tuple of them.
    """
    images = dataset.element_spec[0]
    # A last batch of another size must not trace the model again.
    forward = _inference(model, tf.TensorSpec([None, *images.shape[1:]], images.dtype))
    rows = None
    for images, indices in dataset:
        outputs = [output.numpy() for output in forward(images)]
        if rows is None:
            rows = [np.empty((num_instances, o.shape[1]), np.float32) for o in outputs]
        for array, output in zip(rows, outputs, strict=True):
            array[indices.numpy()] = output
    return rows[0] if len(rows) == 1 else tuple(rows)


# Kept, so that evaluating a model after every epoch traces it once.
@functools.lru_cache(maxsize=2)
def _inference(model, image_batch):
    return tf.function(
        lambda images: tf.nest.flatten(model(images, training=False)),
        input_signature=[image_batch],
        autograph=False,
    )
