"""Cross-entropy over all instances, with learned rows and smoothed labels."""

import keras
import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import part_of_one
from npid_tf.checks.layer_arguments import in_float32
from npid_tf.errors import UserError
from npid_tf.losses.one_pass import exponential, sum_over_rows
from npid_tf.losses.temperature import check_temperature


@keras.saving.register_keras_serializable("npid_tf")
class InstanceCrossEntropy(keras.layers.Layer):
    """-sum_j y_ij log P(j|x_i), P(j|x) = exp(w_j.x / tau) / sum_k exp(w_k.x / tau).

    The rows w are `LearnedRows`, all n of them, without sampling, or the most recent of
    `RecentRows` (in training; elsewhere all, too). y_ii = 1 - smoothing;
    the K rows that the bank keeps as nearest to row i share the rest, so that images
    which look alike are not pushed apart (Liu et al. 2021, section on label smoothing).

    Args:
        temperature: tau.
        smoothing: alpha, in [0, 1); it needs rows with neighbors.

    Example:

    >>> import numpy as np, npid_tf
    >>> rows = npid_tf.LearnedRows(num_instances=100, embedding_dim=8)
    >>> indices = np.array([3, 7])
    >>> loss = npid_tf.InstanceCrossEntropy(temperature=0.15)
    >>> loss(rows.lookup(indices), indices, bank=rows).shape
    TensorShape([2])
    """

    def __init__(
        self,
        temperature: float = 0.15,
        smoothing: float = 0.0,
        *,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(name=name, **in_float32(kwargs))
        self.temperature = check_temperature(temperature)
        self.smoothing = part_of_one("smoothing", smoothing)

    def call(self, embeddings, indices, bank, seed=None, training=True):
        self.check_bank(bank)
        indices, embeddings = batch_checks.checked_pairs(indices, embeddings, bank)
        queries = embeddings / self.temperature
        if training:
            bank.mark_recent(indices)
        row_at, num_rows = bank.candidates(training)
        read_rows = bank.reader()
        totals = sum_over_rows(
            exponential,
            bank.rows.all_gather(queries),
            lambda places: read_rows(row_at(places)),
            num_rows,
        )
        log_totals = tf.math.log(bank.rows.all_reduce_sum(totals, queries))
        return log_totals - self._target_scores(queries, indices, bank)

    def check_bank(self, bank: keras.layers.Layer) -> None:
        """Raises UserError for a bank that these losses are not for."""
        if not hasattr(bank, "candidates"):
            raise UserError(
                "InstanceCrossEntropy needs a bank of LearnedRows or RecentRows. "
                f"Received: {type(bank).__name__}."
            )
        if self.smoothing and not bank.num_neighbors:
            raise UserError(
                "Smoothed labels need rows with neighbors: "
                "LearnedRows(..., num_neighbors=K). "
                f"Received: smoothing={self.smoothing}, num_neighbors=0."
            )

    def _target_scores(self, queries, indices, bank):
        """sum_j y_ij w_j.x_i / tau: float32 [batch]."""
        own = tf.reduce_sum(queries * bank.lookup(indices), axis=1)
        if not self.smoothing:
            return own
        neighbors = bank.neighbors_of(bank.rows.all_gather(indices))
        scores, is_here = bank.pair_similarities(queries, neighbors)
        # Where there are none yet, XLA leaves nothing else to say so.
        is_none = neighbors >= bank.num_instances
        elsewhere = tf.where(is_none, float("nan"), 0.0)
        means = tf.reduce_mean(tf.where(is_here, scores, elsewhere), axis=1)
        of_neighbors = bank.rows.all_reduce_sum(means, queries)
        return (1 - self.smoothing) * own + self.smoothing * of_neighbors

    def descend(
        self,
        bank: keras.layers.Layer,
        embeddings: tf.Tensor,
        indices: tf.Tensor,
        losses: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """Moves the rows against their gradient of the mean of the losses.

        embeddings: float32 [batch, d], indices: int64 [batch] and the losses that
        `call` gave for them: float32 [batch].
        """
        self.check_bank(bank)
        indices, embeddings = batch_checks.checked_pairs(indices, embeddings, bank)
        queries = embeddings / self.temperature
        # The losses hold the logarithms of the sums over all rows already.
        log_totals = losses + self._target_scores(queries, indices, bank)
        queries, log_totals, indices = (
            bank.rows.all_gather(batch) for batch in (queries, log_totals, indices)
        )
        batch = tf.cast(tf.shape(indices)[0], tf.float32)
        targets, weights = indices[:, None], tf.constant([1.0])
        if self.smoothing:
            targets = tf.concat([targets, bank.neighbors_of(indices)], axis=1)
            shares = tf.fill([bank.num_neighbors], self.smoothing / bank.num_neighbors)
            weights = tf.concat([[1 - self.smoothing], shares], axis=0)
        log_totals += tf.math.log(batch)
        bank.descend(queries, log_totals, targets, weights / batch, learning_rate)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "smoothing": self.smoothing,
        }
