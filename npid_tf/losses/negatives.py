"""Uniform noise P_n = 1/n: which bank rows are an image's negatives.

Both classes draw with replacement and never give an image its own row.
`scores(embeddings, indices, bank, seed)` returns similarities float32 [batch,
num_negatives] and a mask of the same shape, False for pairs to leave out.
"""

import keras
import tensorflow as tf


class _Negatives:
    def __init__(self, num_instances, num_negatives):
        if not 1 <= num_negatives < num_instances:
            raise ValueError(
                "`num_negatives` must be in [1, num_instances). Received: "
                f"num_negatives={num_negatives}, num_instances={num_instances}."
            )
        self.num_instances = num_instances
        self.num_negatives = num_negatives

    def get_config(self):
        return {
            "num_instances": self.num_instances,
            "num_negatives": self.num_negatives,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("npid_tf")
class SharedNegatives(_Negatives):
    """One draw for the whole batch: one gather and one matrix product."""

    def scores(self, embeddings, indices, bank, seed):
        drawn = tf.random.stateless_uniform(
            [self.num_negatives], seed, maxval=self.num_instances, dtype=tf.int64
        )
        similarities = tf.matmul(embeddings, bank.lookup(drawn), transpose_b=True)
        is_own_row = drawn[None, :] == tf.cast(indices, tf.int64)[:, None]
        return similarities, tf.logical_not(is_own_row)


@keras.saving.register_keras_serializable("npid_tf")
class PerSampleNegatives(_Negatives):
    """Other rows for every image, as in the paper: moves batch times as many bytes."""

    def scores(self, embeddings, indices, bank, seed):
        indices = tf.cast(indices, tf.int64)[:, None]
        drawn = tf.random.stateless_uniform(
            [tf.shape(embeddings)[0], self.num_negatives],
            seed,
            maxval=self.num_instances - 1,
            dtype=tf.int64,
        )
        # Uniform over the n - 1 other rows, without drawing again.
        drawn += tf.cast(drawn >= indices, tf.int64)
        rows = bank.lookup(drawn)  # [batch, num_negatives, dim]
        similarities = tf.linalg.matvec(rows, embeddings)
        return similarities, tf.ones_like(similarities, tf.bool)
