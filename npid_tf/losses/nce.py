"""Noise-contrastive estimation of the non-parametric softmax, Eqs. 4-7."""

import copy
import functools
import math

import keras
import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import part_of_one
from npid_tf.checks.layer_arguments import in_float32
from npid_tf.distribution import replicas
from npid_tf.losses.negatives import (
    PerSampleNegatives,
    SharedNegatives,
    check_drawn_from,
    check_negatives,
)
from npid_tf.losses.one_pass import exponential
from npid_tf.losses.temperature import check_temperature


@keras.saving.register_keras_serializable("npid_tf")
class NCE(keras.layers.Layer):
    """-log h(i, v) - sum_k log(1 - h(k, v)), h = P / (P + m P_n), P_n = 1/n.

    P(i|v) = exp(v_i.v / tau) / Z with a constant Z (Eq. 8): n times the mean of
    exp(v_j.v / tau) over the pairs of the first batch, positives included as in the
    authors' code; or, with `z_decay`, a moving average of that, which follows the bank
    as it stops being noise.

    Args:
        negatives: SharedNegatives or PerSampleNegatives; their number is m.
        temperature: tau.
        z_decay: what Z keeps at every step, in [0, 1); None keeps it all.

    Example:

    >>> import numpy as np, npid_tf
    >>> bank = npid_tf.MemoryBank(num_instances=100, embedding_dim=8)
    >>> indices = np.array([3, 7])
    >>> negatives = npid_tf.SharedNegatives(100, 16)
    >>> loss = npid_tf.NCE(negatives, temperature=0.1)
    >>> loss(bank.lookup(indices), indices, bank=bank, seed=[0, 1]).shape
    TensorShape([2])
    """

    def __init__(
        self,
        negatives: SharedNegatives | PerSampleNegatives,
        temperature: float = 0.07,
        z_decay: float | None = None,
        *,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(name=name, **in_float32(kwargs))
        self.negatives = check_negatives(negatives)
        self.temperature = check_temperature(temperature)
        self.z_decay = None if z_decay is None else part_of_one("z_decay", z_decay)
        self.z = self.add_weight(
            shape=(),
            initializer="zeros",  # 0: not estimated yet
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="z",
        )
        self.built = True

    def call(self, embeddings, indices, bank, seed, training=True):
        check_drawn_from(self.negatives, bank)
        indices, embeddings = batch_checks.checked_pairs(indices, embeddings, bank)
        queries = embeddings / self.temperature
        positives = tf.reduce_sum(queries * bank.lookup(indices), axis=1)
        sum_over, own_counts = self.negatives.draw(queries, indices, bank, seed)
        z = tf.stop_gradient(self._estimate_z(positives, sum_over, own_counts))
        if training:
            self.z.assign(z)
        # h = P / (P + m/n) = sigmoid(log P - log(m/n)), stable where exp is not.
        log_noise = math.log(self.negatives.num_negatives / bank.num_instances)
        shift = tf.math.log(z) + log_noise
        terms = functools.partial(softplus, shift)
        data_term = tf.math.softplus(shift - positives)  # -log h, [batch]
        # -log(1 - h), summed
        noise_terms = bank.rows.all_reduce_sum(sum_over(terms), queries)
        return data_term + noise_terms - own_counts * terms(positives)[0]

    def _estimate_z(self, positives, sum_over, own_counts):
        """Eq. 8 on this batch (of all replicas), and what was estimated before."""
        z = tf.convert_to_tensor(self.z.value)

        def sums():
            own = tf.reduce_sum((1.0 - own_counts) * tf.exp(positives))
            total = own + tf.reduce_sum(sum_over(exponential))
            pairs = 1.0 + self.negatives.num_negatives - own_counts
            return total, tf.reduce_sum(pairs)

        if self.z_decay is None:
            # Only the first step pays for it.
            total, count = tf.cond(z == 0.0, sums, lambda: (z, 1.0))
        else:
            total, count = sums()
        total, count = replicas.all_reduce_sum([total, count])
        estimate = self.negatives.num_instances * total / count
        kept = 1.0 if self.z_decay is None else self.z_decay
        return tf.where(z == 0.0, estimate, kept * z + (1 - kept) * estimate)

    def get_config(self):
        return {
            **super().get_config(),
            "negatives": keras.saving.serialize_keras_object(self.negatives),
            "temperature": self.temperature,
            "z_decay": self.z_decay,
        }

    @classmethod
    def from_config(cls, config):
        negatives = keras.saving.deserialize_keras_object(
            copy.deepcopy(config["negatives"])
        )
        return cls(**{**config, "negatives": negatives})


def softplus(shift, scores):
    """The terms of NCE: log(1 + exp(s - shift)) and its slope, the posterior h.

    Half the time of `tf.math.softplus`, whose care for x > 80 is not needed: logits of
    NCE are at most 1 / tau <= 50 as soon as Z m / n >= 1, and Z is 2 n in a new bank.
    """
    powers = tf.exp(scores - shift)
    return tf.math.log1p(powers), powers / (1.0 + powers)
