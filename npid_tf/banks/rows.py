"""`Rows`: numbers for every image, on one device or on several.

Storage alone. How rows move is their owner's to say: by an average in `MemoryBank`, by
SGD in `LearnedRows` and `RecentRows`.
"""

import numpy as np
import tensorflow as tf

from npid_tf.banks.placement import PLACEMENTS
from npid_tf.banks.row_checks import check_range, checked_rows
from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import one_of
from npid_tf.distribution import replicas, workers

ROWS_AT_ONCE = 65_536
# NumPy's files know no bfloat16. Collectives, which bring the rows of several workers
# together, know no uint32.
READ_AS = {"bfloat16": tf.float32, "uint32": tf.int32}


class Rows:
    """Numbers [num_rows, columns], replicated or sharded over a strategy's devices.

    Rows are made in the scope of the strategy whose replicas use them. Of a sharded
    variable the "copies" differ on purpose: each is a shard.

    Args:
        layer: the Keras layer that the variable belongs to.
        name: of the variable.
        num_rows, columns: the shape.
        dtype: what rows are stored as.
        placement: `replicated` (all rows on each device) or `sharded` (a part on each).
        initializer: a Keras initializer.

    Raises:
        UserError: for an unknown placement.
    """

    def __init__(
        self,
        layer,
        name: str,
        num_rows: int,
        columns: int,
        *,
        dtype: str = "float32",
        placement: str = "replicated",
        initializer="zeros",
    ):
        one_of("placement", placement, PLACEMENTS)
        self.placement = PLACEMENTS[placement]
        self.owner = layer.name
        self.num_rows, self.columns, self.dtype = num_rows, columns, dtype
        self.strategy = tf.distribute.get_strategy()
        self.local_ranks = replicas.local_ranks(self.strategy)
        self.variable = layer.add_weight(
            shape=(self.rows_per_replica(), columns),
            dtype=dtype,
            initializer=initializer,
            trainable=False,
            autocast=False,
            aggregation="none",  # Every replica changes its own copy.
            name=name,
        )

    @property
    def shape(self) -> tuple[int, int]:
        return self.num_rows, self.columns

    def bounds(self, rank: int) -> tuple[int, int]:
        """(first, end): the rows that the replica of this rank holds."""
        count = self.strategy.num_replicas_in_sync
        return self.placement.bounds(self.num_rows, rank, count)

    def rows_per_replica(self) -> int:
        """Rows that each device has room for."""
        ranks = range(self.strategy.num_replicas_in_sync)
        return max(end - first for first, end in map(self.bounds, ranks))

    # Called in a replica context, by the losses and by what moves rows.

    def local_slice(self):
        """(first, variable): the first row that this replica holds, and the variable
        [rows_per_replica, columns] on its device."""
        replicas.check_place(self.strategy, self.owner)
        first, _ = self.bounds(replicas.rank())
        return first, replicas.local_copy(self.variable.value, self.local_ranks)

    def local_reader(self, dtype="float32"):
        """A function from numbers of rows that this replica holds, integers [...], to
        the rows, `dtype` [..., columns]. It may be called in a loop of the graph."""
        first, variable = self.local_slice()  # A loop's body does not know its replica.

        def read_rows(indices):
            # A gather reads its rows alone; any other read of a variable that has been
            # scattered to copies all of it.
            numbers = tf.convert_to_tensor(indices) - first
            return tf.cast(tf.gather(variable, numbers), dtype)

        return read_rows

    def holds(self, indices):
        """Which rows this replica holds: bool, of the indices' shape."""
        first, end = self.bounds(replicas.rank())
        return (indices >= first) & (indices < end)

    def local_positions(self, indices):
        """Where in a batch of indices [batch] those of rows held here are: [m]."""
        if self.placement.is_whole:
            return tf.range(tf.shape(indices)[0])
        return tf.where(self.holds(indices))[:, 0]

    def lookup(self, indices, read_rows):
        """The rows of a replica's images: integers [...] -> float32 [..., columns].

        read_rows: from numbers of rows that this replica holds to the rows, such as
        `local_reader` makes.

        Raises UserError, or InvalidArgumentError in a graph, for indices that are no
        rows; under XLA, which cannot raise, their rows are NaN.
        """
        indices = batch_checks.checked_numbers(indices, self.num_rows)
        own = tf.clip_by_value(indices, 0, self.num_rows - 1)
        wanted = self.all_gather(own)
        if self.placement.is_whole:
            rows = read_rows(wanted)
        else:
            is_here = self.holds(wanted)
            first, _ = self.bounds(replicas.rank())
            rows = read_rows(tf.where(is_here, wanted, first))
            rows = tf.where(is_here[..., None], rows, 0.0)
        rows = self.all_reduce_sum(rows, own)
        return batch_checks.nan_outside(rows, indices, self.num_rows)

    def all_gather(self, batch):
        """The images that are compared with the rows held here: of replicated rows this
        replica's batch, of sharded ones those of all replicas."""
        return self.placement.all_gather(batch)

    def all_reduce_sum(self, sums, batch):
        """Sums over held rows for `all_gather(batch)` -> over all rows for `batch`."""
        return self.placement.all_reduce_sum(sums, batch)

    def global_to_local(self, values, batch):
        """Of values for all replicas' images those for `all_gather(batch)`."""
        return self.placement.global_to_local(values, batch)

    # Called outside of steps.

    def parts(self):
        """The rows of each device of this process: a list of (first, end, variable)."""
        variable = self.variable.value
        if not isinstance(variable, tf.distribute.DistributedValues):
            return [(*self.bounds(0), variable)]
        pairs = zip(self.local_ranks, variable.values, strict=True)
        return [(*self.bounds(rank), copy) for rank, copy in pairs]

    def parts_to_write(self):
        """The `parts` that this process saves, none of which another one does."""
        return self.placement.saved_by(self.local_ranks, self.parts())

    def read(self, first: int, end: int) -> np.ndarray:
        """The rows from `first` to `end`, as they are: an array [end - first, columns];
        bfloat16 is read as float32. Where workers share the rows, all must call it."""
        check_range(first, end, self.num_rows)
        dtype = READ_AS.get(self.dtype, tf.as_dtype(self.dtype))
        rows = np.zeros((end - first, self.columns), dtype.as_numpy_dtype)
        count = 0
        for start, stop, variable in self.placement.distinct(self.parts()):
            low, high = max(first, start), min(end, stop)
            if low < high:
                held = tf.gather(variable, tf.range(low - start, high - start))
                rows[low - first : high - first] = tf.cast(held, dtype)
            count += stop - start
        if count == self.num_rows:
            return rows
        return workers.all_reduce_sum(self.strategy, rows)

    def blocks(self):
        """All rows in order, in blocks: arrays [up to 65,536, columns]."""
        for first, end in blocks_of(self.num_rows):
            yield self.read(first, end)

    def numpy(self) -> np.ndarray:
        """All rows: an array [num_rows, columns]."""
        return np.concatenate(list(self.blocks()))

    def write(self, first: int, rows):
        """Replaces the rows from `first` on, as they are; rows: [count, columns].

        Raises UserError, and writes nothing, for rows of another shape or dtype, that
        are not finite or that there are none of.
        """
        rows = checked_rows(rows, first, self)
        for start, end, variable in self.parts():
            low, high = max(first, start), min(first + len(rows), end)
            if low < high:
                chosen = tf.cast(rows[low - first : high - first], variable.dtype)
                numbers = tf.range(low - start, high - start)
                variable.scatter_update(tf.IndexedSlices(chosen, numbers))


def blocks_of(num_rows: int):
    """(first, end) of blocks of up to 65,536 rows, in order."""
    for first in range(0, num_rows, ROWS_AT_ONCE):
        yield first, min(first + ROWS_AT_ONCE, num_rows)
