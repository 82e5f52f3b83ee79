"""Cross-entropy over the positive and m negatives: the authors' later update."""

import copy

import keras
import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.checks.layer_arguments import in_float32
from npid_tf.losses.negatives import (
    PerSampleNegatives,
    SharedNegatives,
    check_drawn_from,
    check_negatives,
)
from npid_tf.losses.one_pass import exponential
from npid_tf.losses.temperature import check_temperature


@keras.saving.register_keras_serializable("npid_tf")
class SampledSoftmax(keras.layers.Layer):
    """-log exp(v_i.v / tau) / (exp(v_i.v / tau) + sum_k exp(v_k.v / tau)), k sampled.

    As CPC, CMC and MoCo do, without correcting for the sampling.

    Args:
        negatives: SharedNegatives or PerSampleNegatives.
        temperature: tau.

    Example:

    >>> import numpy as np, npid_tf
    >>> bank = npid_tf.MemoryBank(num_instances=100, embedding_dim=8)
    >>> indices = np.array([3, 7])
    >>> negatives = npid_tf.SharedNegatives(100, 16)
    >>> loss = npid_tf.SampledSoftmax(negatives, temperature=0.1)
    >>> loss(bank.lookup(indices), indices, bank=bank, seed=[0, 1]).shape
    TensorShape([2])
    """

    def __init__(
        self,
        negatives: SharedNegatives | PerSampleNegatives,
        temperature: float = 0.07,
        *,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(name=name, **in_float32(kwargs))
        self.negatives = check_negatives(negatives)
        self.temperature = check_temperature(temperature)

    def call(self, embeddings, indices, bank, seed, training=True):
        check_drawn_from(self.negatives, bank)
        indices, embeddings = batch_checks.checked_pairs(indices, embeddings, bank)
        queries = embeddings / self.temperature
        positives = tf.reduce_sum(queries * bank.lookup(indices), axis=1)
        sum_over, own_counts = self.negatives.draw(queries, indices, bank, seed)
        powers = tf.exp(positives)
        drawn = bank.rows.all_reduce_sum(sum_over(exponential), queries)
        # Where nothing else was drawn, rounding could leave less than nothing.
        negatives = tf.maximum(drawn - own_counts * powers, 0.0)
        return tf.math.log(powers + negatives) - positives

    def get_config(self):
        return {
            **super().get_config(),
            "negatives": keras.saving.serialize_keras_object(self.negatives),
            "temperature": self.temperature,
        }

    @classmethod
    def from_config(cls, config):
        negatives = keras.saving.deserialize_keras_object(
            copy.deepcopy(config["negatives"])
        )
        return cls(**{**config, "negatives": negatives})
