"""What the tests of the losses share: a toy batch, gradients and closeness."""

import types

import numpy as np
import tensorflow as tf

from npid_tf import MemoryBank, SharedNegatives


def toy_batch(num_instances=12, dim=5, batch_size=6, closeness=0.0):
    """Batches of unit embeddings and their bank; `closeness` pulls each to its row."""
    rng = np.random.default_rng(num_instances + batch_size)
    bank = MemoryBank(num_instances, dim, initializer="normal", seed=1)
    indices = rng.permutation(num_instances)[:batch_size]
    embeddings = rng.normal(size=(batch_size, dim))
    embeddings += closeness * bank.numpy()[indices]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return types.SimpleNamespace(
        bank=bank,
        vectors=bank.numpy().astype(np.float64),
        indices=indices,
        embeddings=embeddings.astype(np.float32),
    )


def loss_and_gradient(loss, batch, seed=(0, 1)):
    """The losses of a batch, and the gradient of their sum in the embeddings."""
    embeddings = tf.constant(batch.embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        losses = loss(
            embeddings,
            tf.constant(batch.indices),
            bank=batch.bank,
            seed=tf.constant(seed, tf.int64),
        )
    return losses.numpy(), tape.gradient(losses, embeddings).numpy()


def drawn_rows(negatives, indices, seed=(0, 1)):
    """The rows int64 [batch, num_negatives] that are drawn for images."""
    seed = tf.constant(seed, tf.int64)
    if isinstance(negatives, SharedNegatives):
        return np.tile(negatives.numbers(seed), (len(indices), 1))
    return negatives.numbers(tf.constant(indices, tf.int64), seed).numpy()


def drawn_negatives(negatives, batch, seed=(0, 1)):
    """The vectors float64 [batch, num_negatives, dim] of a draw, and a mask: False
    where an image has drawn itself."""
    rows = drawn_rows(negatives, batch.indices, seed)
    return batch.vectors[rows], rows != batch.indices[:, None]


def assert_close(actual, expected):
    """Equal to 1e-5 of the largest value, as float32 sums can promise."""
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())
