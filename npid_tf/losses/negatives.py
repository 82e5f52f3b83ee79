"""Uniform noise P_n = 1/n: which bank rows are an image's negatives.

Both classes draw with replacement. `draw(queries, indices, bank, seed)` returns

    sum_over: from terms (f and its slope, see one_pass.py) to sum_k f(q.v_k) over the
        drawn rows, float32 [batch]; where the bank is sharded, for all replicas' images
        over those of the drawn rows that are held here, to be combined by the bank;
    own_counts: how often an image's own row is among them, float32 [batch]. It is no
        negative: that many f(v_i.v) are for the loss to take out.

Queries are v / tau, float32 [batch, dim]; indices, int64 [batch], are the images' own
rows.

Every replica draws the same numbers, those of one device with the global batch. A shard
takes from them what falls on its rows: in proportion to its size on average, and the
sum over the shards is that of the one uniform draw, so no estimate is biased.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from npid_tf.checks.arguments import INT64, whole_number
from npid_tf.distribution import replicas
from npid_tf.errors import UserError
from npid_tf.losses.one_pass import sum_over_own_rows, sum_over_rows


class _Negatives:
    def __init__(self, num_instances: int, num_negatives: int):
        self.num_instances = whole_number("num_instances", num_instances, INT64.start)
        self.num_negatives = whole_number("num_negatives", num_negatives, INT64.start)
        if not 1 <= num_negatives < num_instances:
            raise UserError(
                "`num_negatives` must be in [1, num_instances). Received: "
                f"num_negatives={num_negatives}, num_instances={num_instances}."
            )

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
    """One draw for the whole batch: one gather and one matrix product.

    Args:
        num_instances: n, the rows that are drawn from.
        num_negatives: m, in [1, n).

    Example:

    >>> import npid_tf
    >>> negatives = npid_tf.SharedNegatives(num_instances=100, num_negatives=16)
    >>> negatives.numbers([0, 1]).shape
    TensorShape([16])
    """

    def draw(
        self,
        queries: tf.Tensor,
        indices: tf.Tensor,
        bank: keras.layers.Layer,
        seed: tf.Tensor,
    ) -> tuple[Callable, tf.Tensor]:
        numbers = self.numbers(seed)
        held = tf.gather(numbers, bank.rows.local_positions(numbers))
        num_rows = held.shape[0] or tf.shape(held)[0]
        read_rows = bank.reader(bank.row_dtype)
        queries = bank.rows.all_gather(queries)

        def sum_over(terms):
            return sum_over_rows(
                terms,
                queries,
                lambda places: read_rows(tf.gather(held, places)),
                num_rows,
            )

        # Counted in the sorted draw: a table of all pairs would be a tenth of a step.
        numbers, indices = tf.sort(numbers), tf.cast(indices, tf.int64)
        # As int64: on a GPU, int32 is subtracted on the host.
        first = tf.searchsorted(numbers, indices, side="left", out_type=tf.int64)
        end = tf.searchsorted(numbers, indices, side="right", out_type=tf.int64)
        return sum_over, tf.cast(end - first, tf.float32)

    def numbers(self, seed: tf.Tensor) -> tf.Tensor:
        """The drawn rows, int64 [num_negatives]."""
        return tf.random.stateless_uniform(
            [self.num_negatives], seed, maxval=self.num_instances, dtype=tf.int64
        )


@keras.saving.register_keras_serializable("npid_tf")
class PerSampleNegatives(_Negatives):
    """Other rows for every image, as in the paper: moves batch times as many bytes.

    The own row is never drawn.

    Args:
        num_instances: n, the rows that are drawn from.
        num_negatives: m, in [1, n).

    Example:

    >>> import npid_tf, tensorflow as tf
    >>> negatives = npid_tf.PerSampleNegatives(num_instances=100, num_negatives=16)
    >>> negatives.numbers(tf.constant([3, 7], tf.int64), [0, 1]).shape
    TensorShape([2, 16])
    """

    def draw(
        self,
        queries: tf.Tensor,
        indices: tf.Tensor,
        bank: keras.layers.Layer,
        seed: tf.Tensor,
    ) -> tuple[Callable, tf.Tensor]:
        numbers = self.numbers(replicas.all_gather(tf.cast(indices, tf.int64)), seed)
        own_counts = tf.zeros_like(queries[:, 0])
        numbers = bank.rows.global_to_local(numbers, queries)
        queries = bank.rows.all_gather(queries)
        read_rows = bank.reader(bank.row_dtype)
        # Found out here, since the loop that reads rows does not know its replica.
        first, end = bank.rows.bounds(replicas.rank())

        def held_rows(numbers):
            is_here = (numbers >= first) & (numbers < end)
            return read_rows(tf.where(is_here, numbers, first)), is_here

        def sum_over(terms):
            return sum_over_own_rows(terms, queries, numbers, held_rows)

        return sum_over, own_counts

    def numbers(self, indices: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The drawn rows of each image, int64 [batch, num_negatives]."""
        drawn = tf.random.stateless_uniform(
            [tf.shape(indices)[0], self.num_negatives],
            seed,
            maxval=self.num_instances - 1,
            dtype=tf.int64,
        )
        # Uniform over the n - 1 other rows, without drawing again.
        return drawn + tf.cast(drawn >= indices[:, None], tf.int64)


def check_negatives(negatives):
    """Returns them. Raises UserError for what draws none."""
    if not hasattr(negatives, "draw"):
        raise UserError(
            "`negatives` must be SharedNegatives or PerSampleNegatives. Received: "
            f"{negatives!r}."
        )
    return negatives


def check_drawn_from(negatives, bank):
    """Raises UserError where negatives are drawn of another number of rows."""
    drawn_from = getattr(negatives, "num_instances", bank.num_instances)
    if drawn_from != bank.num_instances:
        raise UserError(
            "Negatives must be drawn from all rows of the bank. Received: "
            f"{type(negatives).__name__}(num_instances={drawn_from}), and a bank of "
            f"{bank.num_instances} rows."
        )
