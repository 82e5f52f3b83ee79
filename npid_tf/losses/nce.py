"""Noise-contrastive estimation of the non-parametric softmax, Eqs. 4-7."""

import math

import keras
import tensorflow as tf

from npid_tf import replicas
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
    """

    def __init__(self, negatives, temperature=0.07, z_decay=None, name="nce"):
        super().__init__(name=name, dtype="float32")
        if z_decay is not None and not 0 <= z_decay < 1:
            raise ValueError(f"`z_decay` must be in [0, 1). Received: {z_decay}.")
        self.negatives = negatives
        self.temperature = check_temperature(temperature)
        self.z_decay = z_decay
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
        embeddings = embeddings / self.temperature
        positives = tf.reduce_sum(embeddings * bank.lookup(indices), axis=1)
        negatives, mask = self.negatives.scores(embeddings, indices, bank, seed)
        z = self._estimate_z(
            tf.stop_gradient(positives), tf.stop_gradient(negatives), mask
        )
        if training:
            self.z.assign(z)
        # h = P / (P + m/n) = sigmoid(log P - log(m/n)), stable where exp is not.
        log_noise = math.log(self.negatives.num_negatives / bank.num_instances)
        shift = tf.math.log(z) + log_noise
        data_term = tf.math.softplus(shift - positives)  # -log h, [batch]
        noise_terms = softplus_sums(negatives - shift, mask)  # -log(1 - h), summed
        return data_term + bank.combine(noise_terms, embeddings)

    def _estimate_z(self, positives, negatives, mask):
        """Eq. 8 on this batch (of all replicas), and what was estimated before."""
        z = tf.convert_to_tensor(self.z.value)

        def sums():
            terms = tf.where(mask, tf.exp(negatives), 0.0)
            total = tf.reduce_sum(tf.exp(positives)) + tf.reduce_sum(terms)
            count = tf.size(positives) + tf.math.count_nonzero(mask, dtype=tf.int32)
            return total, tf.cast(count, tf.float32)

        if self.z_decay is None:
            # Only the first step pays for it.
            total, count = tf.cond(z == 0.0, sums, lambda: (z, 1.0))
        else:
            total, count = sums()
        total, count = replicas.add_up([total, count])
        estimate = self.negatives.num_instances * total / count
        kept = 1.0 if self.z_decay is None else self.z_decay
        return tf.where(z == 0.0, estimate, kept * z + (1 - kept) * estimate)

    def get_config(self):
        return {
            "negatives": keras.saving.serialize_keras_object(self.negatives),
            "temperature": self.temperature,
            "z_decay": self.z_decay,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        negatives = keras.saving.deserialize_keras_object(config.pop("negatives"))
        return cls(negatives, **config)


@tf.custom_gradient
def softplus_sums(logits, mask):
    """sum_k log(1 + exp(x_k)) over the pairs that the mask leaves in.

    Half the time of `tf.math.softplus`, whose care for x > 80 is not needed: logits of
    NCE are at most 1 / tau <= 50 as soon as Z m / n >= 1, and Z is 2 n in a new bank.

    logits: float32 [batch, m]; mask: bool of that shape. Returns float32 [batch].
    """
    powers = tf.where(mask, tf.exp(logits), 0.0)

    def gradient(upstream):
        return upstream[:, None] * powers / (1.0 + powers), None

    return tf.reduce_sum(tf.math.log1p(powers), axis=1), gradient
