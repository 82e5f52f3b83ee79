"""The exact non-parametric softmax, Eq. 2, in one pass over the bank."""

import keras
import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.checks.layer_arguments import in_float32
from npid_tf.distribution import replicas
from npid_tf.losses.one_pass import exponential, sum_over_rows
from npid_tf.losses.temperature import check_temperature


@keras.saving.register_keras_serializable("npid_tf")
class NonparametricSoftmax(keras.layers.Layer):
    """-log P(i|v), P(i|v) = exp(v_i.v / tau) / sum_j exp(v_j.v / tau), j over all rows.

    Args:
        temperature: tau, at least .02.

    Example:

    >>> import numpy as np, npid_tf
    >>> bank = npid_tf.MemoryBank(num_instances=100, embedding_dim=8)
    >>> indices = np.array([3, 7])
    >>> loss = npid_tf.NonparametricSoftmax(temperature=0.1)
    >>> loss(bank.lookup(indices), indices, bank=bank).shape
    TensorShape([2])
    """

    def __init__(self, temperature: float = 0.07, *, name: str | None = None, **kwargs):
        super().__init__(name=name, **in_float32(kwargs))
        self.temperature = check_temperature(temperature)

    def call(self, embeddings, indices, bank, seed=None, training=True):
        return nonparametric_softmax(embeddings, indices, bank, self.temperature)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def nonparametric_softmax(embeddings, indices, bank, temperature):
    """The loss of each image, differentiable in the embeddings alone.

    The bank is read in chunks, once: the sums of exp(v_j.v / tau) and of
    exp(v_j.v / tau) v_j give the loss and its gradient, (sum_j P(j|v) v_j - v_i) / tau.
    Memory: O(batch * (dim + chunk)).

    embeddings: float32 [batch, dim], unit length; indices: int64 [batch]; bank:
    MemoryBank of unit rows. Returns float32 [batch].
    """
    indices, embeddings = batch_checks.checked_pairs(indices, embeddings, bank)
    similarity = tf.reduce_sum(embeddings * bank.lookup(indices), axis=1)
    first, end = bank.rows.bounds(replicas.rank())
    read_rows = bank.reader(bank.row_dtype)
    totals = sum_over_rows(
        exponential,
        bank.rows.all_gather(embeddings / temperature),
        lambda numbers: read_rows(first + numbers),
        end - first,
    )
    log_z = tf.math.log(bank.rows.all_reduce_sum(totals, embeddings))
    return log_z - similarity / temperature
