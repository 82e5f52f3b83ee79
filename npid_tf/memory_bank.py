"""The memory bank V = {v_j}: one unit vector for every training image."""

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable("npid_tf")
class MemoryBank(keras.layers.Layer):
    """Vectors [num_instances, embedding_dim] float32, row i that of image i.

    A non-trainable variable that only `update` (one batch) and `assign` (all rows)
    change. A row becomes

        normalize(momentum * old + (1 - momentum) * embedding),

    so `momentum` is what it keeps of the past, as `nce_m` in the authors' code (some
    ports mean the opposite).

    Args:
        num_instances: rows, n.
        embedding_dim: columns, d.
        momentum: in [0, 1).
        initializer: `uniform` (the authors': each value in +-sqrt(3 / d), here
            normalized) or `normal` (uniform on the sphere).
        seed: of the initial rows.

    Raises:
        ValueError: for an unknown initializer or values out of range.
    """

    def __init__(
        self,
        num_instances,
        embedding_dim,
        momentum=0.5,
        initializer="uniform",
        seed=0,
        name="memory_bank",
    ):
        super().__init__(name=name, trainable=False, dtype="float32")
        if num_instances < 2:
            raise ValueError(
                f"`num_instances` must be at least 2. Received: {num_instances}."
            )
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be in [0, 1). Received: {momentum}.")
        if initializer not in INITIALIZERS:
            raise ValueError(
                f"Unknown initializer {initializer!r}. Known: "
                f"{', '.join(INITIALIZERS)}."
            )
        self.num_instances = num_instances
        self.embedding_dim = embedding_dim
        self.momentum = momentum
        self.initializer = initializer
        self.seed = seed
        self.vectors = self.add_weight(
            shape=(num_instances, embedding_dim),
            initializer=self._initial_rows,
            trainable=False,
            autocast=False,
            # Every replica makes the same change itself, see `update`.
            aggregation="none",
            name="vectors",
        )
        self.built = True

    def _initial_rows(self, shape, dtype):
        rows = INITIALIZERS[self.initializer](shape, [self.seed, 0])
        return tf.cast(tf.math.l2_normalize(rows, axis=1), dtype)

    def lookup(self, indices):
        """The rows v_j: int64 [...] -> float32 [..., embedding_dim]."""
        # A gather reads its rows alone; any other read of a variable that has been
        # scattered to copies all of it.
        return tf.gather(self.vectors.value, indices)

    def update(self, indices, embeddings):
        """Moves the rows of a batch towards its embeddings, in place.

        Of an index that is twice in a batch, the last embedding counts. In a replica,
        the pairs of all replicas are gathered first, so that all copies stay equal.

        Args:
            indices: int64 [batch].
            embeddings: float32 [batch, embedding_dim], unit length.
        """
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            indices = replica.all_gather(tf.identity(indices), axis=0)
            embeddings = replica.all_gather(tf.identity(embeddings), axis=0)
        old = self.lookup(indices)
        mixed = self.momentum * old + (1 - self.momentum) * embeddings
        rows = tf.math.l2_normalize(mixed, axis=1)
        self.vectors.value.scatter_update(tf.IndexedSlices(rows, indices))

    def assign(self, vectors):
        """Replaces all rows. vectors: float [num_instances, embedding_dim]; they are
        normalized."""
        vectors = np.asarray(vectors, np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.vectors.assign(vectors / np.maximum(norms, 1e-12))

    def get_config(self):
        return {
            "num_instances": self.num_instances,
            "embedding_dim": self.embedding_dim,
            "momentum": self.momentum,
            "initializer": self.initializer,
            "seed": self.seed,
            "name": self.name,
        }


def _uniform(shape, seed):
    limit = (3 / shape[1]) ** 0.5  # s = 1 / sqrt(d / 3): rows of about unit length
    return tf.random.stateless_uniform(shape, seed, minval=-limit, maxval=limit)


INITIALIZERS = {"uniform": _uniform, "normal": tf.random.stateless_normal}


def initialize_by_forward_pass(bank, encoder, dataset):
    """Row i becomes the untrained encoder's embedding of image i.

    One pass with batch norm in training mode, so that embeddings differ from image to
    image before anything is learned (Liu et al. 2021, "raw feature initialization").

    Args:
        bank: MemoryBank.
        encoder: model from images to embeddings.
        dataset: of (images, indices), every index once.

    Raises:
        ValueError: where an index is missing.
    """
    forward = tf.function(lambda images: encoder(images, training=True))
    vectors = np.full((bank.num_instances, bank.embedding_dim), np.nan, np.float32)
    for images, indices in dataset:
        vectors[indices.numpy()] = forward(images).numpy()
    missing = np.isnan(vectors[:, 0])
    if missing.any():
        raise ValueError(
            "`dataset` must hold every index once. Missing: "
            f"{int(missing.sum())} of {bank.num_instances}."
        )
    bank.assign(vectors)
