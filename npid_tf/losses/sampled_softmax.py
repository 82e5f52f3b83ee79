"""Cross-entropy over the positive and m negatives: the authors' later update."""

import keras
import tensorflow as tf

from npid_tf.losses.temperature import check_temperature


@keras.saving.register_keras_serializable("npid_tf")
class SampledSoftmax(keras.layers.Layer):
    """-log exp(v_i.v / tau) / (exp(v_i.v / tau) + sum_k exp(v_k.v / tau)), k sampled.

    As CPC, CMC and MoCo do, without correcting for the sampling.

    Args:
        negatives: SharedNegatives or PerSampleNegatives.
        temperature: tau.
    """

    def __init__(self, negatives, temperature=0.07, name="sampled_softmax"):
        super().__init__(name=name, dtype="float32")
        self.negatives = negatives
        self.temperature = check_temperature(temperature)

    def call(self, embeddings, indices, bank, seed, training=True):
        embeddings = embeddings / self.temperature
        positives = tf.reduce_sum(embeddings * bank.lookup(indices), axis=1)
        negatives, mask = self.negatives.scores(embeddings, indices, bank, seed)
        positives = tf.exp(positives)
        negatives = tf.where(mask, tf.exp(negatives), 0.0)
        # |v.v| / tau <= 50: the sums stay in float32's range without a shift.
        total = bank.combine(tf.reduce_sum(negatives, axis=1), embeddings)
        return tf.math.log(positives + total) - tf.math.log(positives)

    def get_config(self):
        return {
            "negatives": keras.saving.serialize_keras_object(self.negatives),
            "temperature": self.temperature,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        negatives = keras.saving.deserialize_keras_object(config.pop("negatives"))
        return cls(negatives, **config)
