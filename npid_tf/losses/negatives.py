"""Uniform noise P_n = 1/n: which bank rows are an image's negatives.

Both classes draw with replacement and never give an image its own row.
`scores(embeddings, indices, bank, seed)` returns similarities float32 [batch,
num_negatives] and a mask of the same shape, False for pairs to leave out; where the
bank is sharded, those of all replicas' images with the drawn rows that are held here.
Embeddings need not be of unit length: the losses pass v / tau.

Every replica draws the same numbers, those of one device with the global batch. A shard
takes from them what falls on its rows: in proportion to its size on average, and the
sum over the shards is that of the one uniform draw, so no estimate is biased.
"""

import keras
import tensorflow as tf

from npid_tf import replicas
from npid_tf.losses.exponential_sums import product


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
        drawn = tf.gather(drawn, bank.held_positions(drawn))
        rows = bank.reader(bank.row_dtype)(drawn)  # [num_negatives, dim]
        similarities = product(bank.collect(embeddings), rows, transpose_b=True)
        owners = bank.collect(tf.cast(indices, tf.int64))
        return similarities, tf.not_equal(drawn[None, :], owners[:, None])


@keras.saving.register_keras_serializable("npid_tf")
class PerSampleNegatives(_Negatives):
    """Other rows for every image, as in the paper: moves batch times as many bytes."""

    def scores(self, embeddings, indices, bank, seed):
        everyone = replicas.gather(tf.cast(indices, tf.int64))[:, None]
        drawn = tf.random.stateless_uniform(
            [tf.shape(everyone)[0], self.num_negatives],
            seed,
            maxval=self.num_instances - 1,
            dtype=tf.int64,
        )
        # Uniform over the n - 1 other rows, without drawing again.
        drawn += tf.cast(drawn >= everyone, tf.int64)
        return bank.pair_similarities(embeddings, drawn)
