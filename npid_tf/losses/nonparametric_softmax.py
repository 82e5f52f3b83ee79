"""The exact non-parametric softmax, Eq. 2, in one pass over the bank."""

import functools

import keras
import tensorflow as tf

from npid_tf.losses.temperature import check_temperature


@keras.saving.register_keras_serializable("npid_tf")
class NonparametricSoftmax(keras.layers.Layer):
    """-log P(i|v), P(i|v) = exp(v_i.v / tau) / sum_j exp(v_j.v / tau), j over all rows.

    Args:
        temperature: tau, at least .02.
    """

    def __init__(self, temperature=0.07, name="nonparametric_softmax"):
        super().__init__(name=name, dtype="float32")
        self.temperature = check_temperature(temperature)

    def call(self, embeddings, indices, bank, seed=None, training=True):
        return nonparametric_softmax(embeddings, indices, bank, self.temperature)

    def get_config(self):
        return {"temperature": self.temperature, "name": self.name}


def nonparametric_softmax(embeddings, indices, bank, temperature):
    """The loss of each image, differentiable in the embeddings alone.

    The bank is read in chunks, once: the sums of exp(v_j.v / tau) and of
    exp(v_j.v / tau) v_j give the loss and its gradient, (sum_j P(j|v) v_j - v_i) / tau.
    Memory: O(batch * (dim + chunk)).

    embeddings: float32 [batch, dim], unit length; indices: int64 [batch]; bank:
    MemoryBank of unit rows. Returns float32 [batch].
    """
    positives = bank.lookup(indices)  # [batch, dim]

    @tf.custom_gradient
    def loss_of(embeddings):
        total, weighted = _exponential_sums(embeddings / temperature, bank)
        similarity = tf.reduce_sum(embeddings * positives, axis=1)
        loss = tf.math.log(total) - similarity / temperature  # [batch]

        def gradient(upstream):
            expected = weighted / total[:, None]  # sum_j P(j|v) v_j, [batch, dim]
            return upstream[:, None] * (expected - positives) / temperature

        return loss, gradient

    return loss_of(embeddings)


def _exponential_sums(queries, bank):
    """sum_j exp(q.v_j) and sum_j exp(q.v_j) v_j: float32 [batch] and [batch, dim].

    Unit vectors make |q.v_j| <= 1 / tau <= 50, so nothing overflows without shifting
    by the maximum, and chunks merge by plain sums.
    """
    num_instances, dim = bank.num_instances, bank.embedding_dim
    batch = tf.shape(queries)[0]
    chunk = chunk_size(queries.shape[0] or 128, num_instances)

    def add_rows(size, start, total, weighted):
        rows = bank.lookup(start + tf.range(size))  # [size, dim]
        weights = tf.exp(tf.matmul(queries, rows, transpose_b=True))  # [batch, size]
        total += tf.reduce_sum(weights, axis=1)
        weighted += tf.matmul(weights, rows)
        return start + size, total, weighted

    sums = tf.while_loop(
        lambda start, *_: start + chunk <= num_instances,
        functools.partial(add_rows, chunk),
        (tf.constant(0), tf.zeros([batch]), tf.zeros([batch, dim])),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([queries.shape[0]]),
            tf.TensorShape([queries.shape[0], dim]),
        ),
        parallel_iterations=1,  # One chunk in memory at a time.
    )
    # The last rows are apart, since XLA wants chunks of one size.
    _, total, weighted = add_rows(num_instances % chunk, *sums)
    return total, weighted


def chunk_size(batch_size, num_instances):
    """Rows read at a time: about 16 MB of similarities, which stay near the cache."""
    return min(num_instances, max(1024, (4 << 20) // batch_size))
