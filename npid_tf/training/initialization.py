"""The first rows of a bank: random, or from a pass of the untrained encoder."""

import keras
import numpy as np
import tensorflow as tf

from npid_tf.encoders.embed import check_indices, embed_batches
from npid_tf.errors import UserError


def initialize_by_forward_pass(
    bank: keras.layers.Layer,
    encoder: keras.Model,
    dataset: tf.data.Dataset,
    *,
    centred: bool = False,
) -> None:
    """Row i becomes the untrained encoder's embedding of image i.

    One pass with batch norm in training mode, so that embeddings differ from image to
    image before anything is learned (Liu et al. 2021, "raw feature initialization").

    Args:
        bank: MemoryBank, or one of the others.
        encoder: model from images to embeddings, float32 [batch, dim].
        dataset: of batches of (images, indices), every index once; indices are int64
            [batch].
        centred: whether to subtract the mean before rows are normalized, so that they
            spread even if the untrained encoder maps all images to one direction.

    Raises:
        ValueError: if an index is missing or none of the bank's, or an embedding has
            another dimension or is not finite. Nothing is written then.

    Source: Liu et al. 2021, Train a One-Million-Way Instance Classifier.

    Example:

    >>> import keras, numpy as np, tensorflow as tf
    >>> from npid_tf import MemoryBank, build_encoder, initialize_by_forward_pass
    >>> images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    >>> dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(6))).batch(4)
    >>> backbone = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Flatten()])
    >>> encoder = build_encoder(backbone, embedding_dim=4)
    >>> bank = MemoryBank(num_instances=6, embedding_dim=4)
    >>> initialize_by_forward_pass(bank, encoder, dataset)
    """
    if not hasattr(bank, "assign"):
        raise UserError(
            f"`bank` must be a MemoryBank, or another bank. Received: {bank!r}."
        )
    vectors = np.zeros([bank.num_instances, bank.embedding_dim], np.float32)
    is_missing = np.ones(bank.num_instances, bool)
    for indices, (embeddings,) in embed_batches(
        encoder, dataset, bank.num_instances, training=True
    ):
        check_indices(indices, bank.num_instances)
        if embeddings.shape[1:] != vectors.shape[1:]:
            raise UserError(
                f"`encoder` must give [batch, {bank.embedding_dim}], the bank's "
                f"dimension. Received: {list(embeddings.shape)}."
            )
        vectors[indices] = embeddings
        is_missing[indices] = False
    if is_missing.any():
        raise UserError(
            "`dataset` must hold every index once. Missing: "
            f"{int(is_missing.sum())} of {bank.num_instances}."
        )
    bank.assign(vectors - vectors.mean(axis=0) if centred else vectors)


def begin_new_rows(bank, encoder, dataset, first):
    """The rows from `first` on become the embeddings of their images.

    By the encoder as it serves, batch norm with the statistics it has: rows of the
    images that it has learned were made by it as well.

    Args:
        bank, encoder: as of `initialize_by_forward_pass`; the encoder is trained.
        dataset: of batches of (images, indices), every index from `first` on once.
    """
    count = bank.num_instances - first
    vectors = np.zeros([count, bank.embedding_dim], np.float32)
    for indices, (embeddings,) in embed_batches(encoder, dataset, count):
        check_indices(indices, bank.num_instances)
        vectors[indices - first] = embeddings
    bank.write(first, vectors)
