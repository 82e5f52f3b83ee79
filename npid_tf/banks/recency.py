"""Which rows a run has visited last, and how many steps the others have missed."""

import numpy as np
import tensorflow as tf

from npid_tf.banks.rows import Rows, blocks_of
from npid_tf.checks import batch_checks
from npid_tf.distribution import replicas
from npid_tf.errors import UserError


class Recency:
    """The K most recently visited of n rows, which alone take a training step.

    Args:
        layer: the Keras layer that the variables belong to.
        num_rows: n.
        num_recent: K. At first those at equal distances.
    """

    def __init__(self, layer, num_rows: int, num_recent: int):
        self.owner, self.num_rows, self.num_recent = layer.name, num_rows, num_recent
        # The numbers of the K rows, the longest unvisited first.
        self.recent = self._add(layer, "recent", (num_recent,), "int64")
        self.recent.assign(np.arange(num_recent) * num_rows // num_recent)
        # Steps taken and the sum of their learning rates; and what that was when a row
        # was last among the K.
        self.clock = self._add(layer, "clock", (2,), "float64")
        self.left = Rows(
            layer, "left", num_rows, 2, dtype="float64", placement="sharded"
        )

    def _add(self, layer, name, shape, dtype):
        return layer.add_weight(
            shape=shape,
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="none",  # Every replica changes its own copy, and all alike.
            name=name,
        )

    # Called in a replica context.

    def visit(self, indices):
        """Makes the rows of all replicas' images, int64 [batch], the most recent.

        Returns what those held here that were not recent have missed: their numbers
        int64 [m], and steps and the sum of their learning rates, float64 [m, 2].
        """
        indices = batch_checks.checked_indices(indices, self.num_rows)
        visited = self._distinct(indices)
        recent = self._local(self.recent)
        before = recent.read_value()
        returning, others = differences(visited, before)
        self._leave(others[: tf.size(returning)])
        missed = self._missed_by(returning)
        now = tf.concat([others[tf.size(returning) :], visited], axis=0)
        recent.assign(tf.ensure_shape(now, before.shape))
        return missed

    def local(self):
        """(numbers of the recent rows held here, int64 [m]; how many there are)"""
        recent = self._local(self.recent).read_value()
        if replicas.num_replicas() == 1:
            return recent, self.num_recent
        recent = tf.boolean_mask(recent, self.left.holds(recent))
        return recent, tf.size(recent)

    def tick(self, learning_rate):
        """Counts a step."""
        step = tf.cast(tf.stack([1.0, learning_rate]), tf.float64)
        self._local(self.clock).assign_add(step)

    def _local(self, weight):
        replicas.check_place(self.left.strategy, self.owner)
        return replicas.local_copy(weight.value, self.left.local_ranks)

    def _distinct(self, indices):
        distinct, _ = tf.unique(self.left.all_gather(indices))
        is_enough = tf.debugging.assert_less_equal(
            tf.size(distinct),
            self.num_recent,
            f"A step has more images than {self.num_recent}, the rows that it may "
            "compare. Use smaller batches, or more recent rows.",
        )
        with tf.control_dependencies([is_enough]):
            return tf.identity(distinct)

    def _leave(self, indices):
        first, left = self.left.local_slice()
        numbers = tf.boolean_mask(indices, self.left.holds(indices)) - first
        clock = self._local(self.clock).read_value()
        now = tf.tile(clock[None], [tf.size(numbers), 1])
        left.scatter_update(tf.IndexedSlices(now, numbers))

    def _missed_by(self, indices):
        first, left = self.left.local_slice()
        numbers = tf.boolean_mask(indices, self.left.holds(indices))
        clock = self._local(self.clock).read_value()
        return numbers, clock - tf.gather(left, numbers - first)

    # Called outside of steps.

    def missed(self, first: int, end: int, recent=None) -> np.ndarray:
        """Steps that rows have missed, and the sum of their rates: [end - first, 2].

        recent: the numbers of those that have missed none; None: of the recent ones.
        """
        recent = self.recent.numpy() if recent is None else recent
        missed = self.clock.numpy() - self.left.read(first, end)
        missed[np.isin(np.arange(first, end), recent)] = 0
        return missed

    def renumbered(self, kept: np.ndarray) -> np.ndarray:
        """The numbers now of the recent rows that are kept (bool [rows before])."""
        numbers = np.where(kept, np.cumsum(kept) - 1, -1)[self.recent.numpy()]
        return numbers[numbers >= 0]

    def start_with(self, recent: np.ndarray) -> None:
        """Goes on with these recent rows, and as many of the last other ones as are
        lacking: as if nothing was missed, which the rows have made up for."""
        others = np.setdiff1d(np.arange(self.num_rows), recent)
        num_lacking = self.num_recent - len(recent)
        added = others[len(others) - num_lacking :]
        self.recent.assign(np.concatenate([added, recent]))
        for first, end in blocks_of(self.num_rows):
            self.left.write(first, np.tile(self.clock.numpy(), [end - first, 1]))

    def checked(self, store):
        """What a file holds of `recent` and `clock`: a list of (variable, value).

        Raises UserError where one is missing or of another K.
        """
        return [
            (weight, self._checked(weight, store))
            for weight in (self.recent, self.clock)
        ]

    def _checked(self, weight, store):
        name = weight.name
        value = np.asarray(store[name]) if name in store else np.zeros(0)
        is_right = value.shape == tuple(weight.shape) and np.isfinite(value).all()
        if is_right and name == "recent":
            is_right = len(np.unique(value)) == self.num_recent
            is_right &= value.min() >= 0 and value.max() < self.num_rows
        if not is_right:
            raise UserError(
                f"The file's {name!r} is missing or not that of RecentRows(num_recent="
                f"{self.num_recent}). Received: {list(value.shape)}."
            )
        return value


def differences(few, many):
    """Those of `few` that are not in `many`, and the other way round, in their order.

    few, many: int64 [m] and [n], each number once. By a sorted search, since ListDiff
    has no GPU kernel.
    """
    ordered = tf.sort(few)

    def place_of(numbers):
        places = tf.searchsorted(ordered, numbers, out_type=tf.int64)
        return tf.minimum(places, tf.size(ordered, tf.int64) - 1)

    places = place_of(many)
    is_common = tf.gather(ordered, places) == many
    found = tf.math.unsorted_segment_sum(  # As floats: int32 is compared on the host.
        tf.cast(is_common, tf.float32), places, tf.size(ordered)
    )
    is_new = tf.gather(found, place_of(few)) == 0.0
    return tf.boolean_mask(few, is_new), tf.boolean_mask(many, ~is_common)
