"""A memory bank that is spread over the replicas: each holds its part of the rows."""

import keras
import numpy as np
import tensorflow as tf

from npid_tf.banks.memory_bank import MemoryBank, readable_dtype
from npid_tf.banks.row_checks import check_range
from npid_tf.distribution import replicas, workers


@keras.saving.register_keras_serializable("npid_tf")
class ShardedMemoryBank(MemoryBank):
    """Replica r of R holds the rows [n r / R, n (r + 1) / R) and no others.

    A step sends what is of the size of the batch, whatever n: embeddings and indices
    are gathered, every replica compares all of them with its rows, and partial sums
    are added up (Liu et al. 2021 spread their classifier like this). Arguments are
    those of `MemoryBank`.

    The copies of the mirrored variable `vectors` differ by intent: each is a shard.
    """

    def rows_per_replica(self):
        return -(-self.num_instances // self.strategy.num_replicas_in_sync)

    def bounds(self, rank):
        count = self.strategy.num_replicas_in_sync
        n = self.num_instances
        return n * rank // count, n * (rank + 1) // count

    def _rows_of(self, indices):
        everyone = replicas.gather(indices)
        is_here = self.holds(everyone)
        first, _ = self.bounds(replicas.rank())
        rows = self.held_rows(tf.where(is_here, everyone, first))
        rows = tf.where(is_here[:, None], rows, 0.0)
        return replicas.own_part(replicas.add_up(rows), indices)

    def holds(self, indices):
        """Which rows this replica holds: bool, of the indices' shape."""
        first, end = self.bounds(replicas.rank())
        return (indices >= first) & (indices < end)

    def held_positions(self, indices):
        return tf.where(self.holds(indices))[:, 0]

    def collect(self, batch):
        return replicas.gather(batch)

    def combine(self, sums, batch):
        return replicas.own_part(replicas.add_up(sums), batch)

    def compared_part(self, gathered, batch):
        return gathered

    def pair_similarities(self, embeddings, numbers):
        """Similarities of images with rows of each one's own, those held here.

        embeddings: float32 [batch, d]; numbers: int64 [global batch, m]. Returns
        float32 [global batch, m], and a mask, False for rows not held here.
        """
        is_here = self.holds(numbers)  # [global batch, m]
        pairs = tf.where(is_here)  # [num_pairs, 2]
        rows = self.held_rows(tf.gather_nd(numbers, pairs))  # [num_pairs, d]
        queries = tf.gather(self.collect(embeddings), pairs[:, 0])
        similarities = tf.linalg.matvec(rows[:, None], queries)[:, 0]
        shape = tf.shape(numbers, tf.int64)
        return tf.scatter_nd(pairs, similarities, shape), is_here

    def parts_to_write(self, weight=None):
        return self.parts(weight)

    def read(self, first, end, weight=None):
        """As `MemoryBank.read`; where workers share the rows, all must call it."""
        check_range(first, end, self.num_instances)
        parts = self.parts(weight)
        _, _, variable = parts[0]
        dtype = readable_dtype(variable)
        rows = np.zeros((end - first, variable.shape[1]), dtype.as_numpy_dtype)
        count = 0
        for start, stop, variable in parts:
            low, high = max(first, start), min(end, stop)
            if low < high:
                held = tf.gather(variable, tf.range(low - start, high - start))
                rows[low - first : high - first] = tf.cast(held, dtype)
            count += stop - start
        if count == self.num_instances:
            return rows
        return workers.add_up(self.strategy, rows)
