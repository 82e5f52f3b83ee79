"""Learned rows of which a step reads and moves the most recently visited alone."""

import keras
import numpy as np
import tensorflow as tf

from npid_tf.banks.files import other_weights
from npid_tf.banks.learned_rows import LearnedRows
from npid_tf.banks.skipped_updates import skip_updates
from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import INT64, whole_number
from npid_tf.distribution import replicas
from npid_tf.errors import UserError


@keras.saving.register_keras_serializable("npid_tf")
class RecentRows(LearnedRows):
    """Rows of which the K most recently visited are the classes of a training step.

    A step visits the rows of its images, and costs O(K), whatever n (Cao et al. 2020,
    recent negative sampling). In the steps that a row is not among the K, its gradient
    is zero, but momentum and weight decay go on: it makes up for them, in closed form,
    when it is visited again, or read outside of steps. That is exact as long as the
    learning rate is constant. Else each step that it missed counts with the mean of
    their rates: weight decay is right to first order, and what momentum was left moves
    the row at that mean, not at the higher or lower rate of the first of them.

    At first K rows at equal distances count as visited. Labels cannot be smoothed.

    Args:
        num_instances, embedding_dim: n and d.
        num_recent: K, at least the images of a step over all replicas.
        momentum, weight_decay, initializer, seed: as of `LearnedRows`.
    """

    def __init__(
        self,
        num_instances,
        embedding_dim,
        num_recent,
        momentum=0.9,
        weight_decay=0.0,
        initializer="normal",
        seed=0,
        name="recent_rows",
    ):
        super().__init__(
            num_instances,
            embedding_dim,
            momentum,
            weight_decay,
            initializer=initializer,
            seed=seed,
            name=name,
        )
        self.num_recent = whole_number("num_recent", num_recent, INT64.start)
        if not 1 <= num_recent <= num_instances:
            raise UserError(
                "`num_recent` must be in [1, num_instances]. Received: "
                f"num_recent={num_recent}, num_instances={num_instances}."
            )
        # The numbers of the K rows, the longest unvisited first.
        self.recent = self._add("recent", (self.num_recent,), "int64")
        self.recent.assign(np.arange(num_recent) * num_instances // num_recent)
        # Steps taken and the sum of their learning rates; and what that was when a row
        # was last among the K.
        self.clock = self._add("clock", (2,), "float64")
        self.left = self._add_rows("left", 2, "float64")

    def row_weights(self):
        return {**super().row_weights(), "left": self.left}

    def visit(self, indices):
        """Makes the rows of all replicas' images, int64 [batch], the most recent."""
        indices = batch_checks.checked_indices(indices, self.num_instances)
        visited = self._distinct(indices)
        _, recent = self._held(self.recent)
        before = recent.read_value()
        returning, others = _differences(visited, before)
        self._leave(others[: tf.size(returning)])
        self._return(returning)
        now = tf.concat([others[tf.size(returning) :], visited], axis=0)
        recent.assign(tf.ensure_shape(now, before.shape))

    def _distinct(self, indices):
        distinct, _ = tf.unique(self.collect(indices))
        is_enough = tf.debugging.assert_less_equal(
            tf.size(distinct),
            self.num_recent,
            f"A step has more images than {self.num_recent}, the rows that it may "
            "compare. Use smaller batches, or more recent rows.",
        )
        with tf.control_dependencies([is_enough]):
            return tf.identity(distinct)

    def _leave(self, indices):
        first, left = self._held(self.left)
        _, clock = self._held(self.clock)
        numbers = tf.boolean_mask(indices, self.holds(indices)) - first
        now = tf.tile(clock.read_value()[None], [tf.size(numbers), 1])
        left.scatter_update(tf.IndexedSlices(now, numbers))

    def _return(self, indices):
        first, rows = self._held()
        _, velocity = self._held(self.velocity)
        _, left = self._held(self.left)
        _, clock = self._held(self.clock)
        numbers = tf.boolean_mask(indices, self.holds(indices)) - first
        new, new_velocity = self._caught_up(
            tf.gather(rows, numbers),
            tf.gather(velocity, numbers),
            clock.read_value() - tf.gather(left, numbers),
        )
        rows.scatter_update(tf.IndexedSlices(new, numbers))
        velocity.scatter_update(tf.IndexedSlices(new_velocity, numbers))

    def _caught_up(self, rows, velocities, missed):
        """missed: float64 [m, 2], the steps and the sum of their rates."""
        rates = tf.math.divide_no_nan(missed[:, 1], missed[:, 0])
        steps = tf.cast(missed[:, 0], tf.int64)
        return skip_updates(
            rows, velocities, steps, rates, self.momentum, self.weight_decay
        )

    def compared_rows(self, training):
        if not training:
            return super().compared_rows(training)
        _, variable = self._held(self.recent)
        recent, count = variable.read_value(), self.num_recent
        if replicas.num_replicas() > 1:
            recent = tf.boolean_mask(recent, self.holds(recent))
            count = tf.size(recent)
        return lambda places: tf.gather(recent, places), count

    def descend(self, queries, log_totals, targets, weights, learning_rate):
        super().descend(queries, log_totals, targets, weights, learning_rate)
        _, clock = self._held(self.clock)
        clock.assign_add(tf.cast(tf.stack([1.0, learning_rate]), tf.float64))

    def read(self, first, end, weight=None):
        """As `LearnedRows.read`; where `weight` is None, with the steps made up for."""
        if weight is not None:
            return super().read(first, end, weight)
        rows, velocities, left = (
            self.read(first, end, weight)
            for weight in (self.vectors, self.velocity, self.left)
        )
        missed = self.clock.numpy() - left
        missed[np.isin(np.arange(first, end), self.recent.numpy())] = 0
        rows, _ = self._caught_up(rows, velocities, missed)
        return tf.math.l2_normalize(rows, axis=1).numpy()

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for name, weight in other_weights(self).items():
            store[name] = weight.numpy()

    def load_own_variables(self, store):
        others = {
            name: self._checked(name, weight, store)
            for name, weight in other_weights(self).items()
        }
        super().load_own_variables(store)
        for name, weight in other_weights(self).items():
            weight.assign(others[name])

    def _checked(self, name, weight, store):
        """The value of one of the `other_weights` in a file."""
        value = np.asarray(store[name]) if name in store else np.zeros(0)
        is_right = value.shape == tuple(weight.shape) and np.isfinite(value).all()
        if is_right and name == "recent":
            is_right = len(np.unique(value)) == self.num_recent
            is_right &= value.min() >= 0 and value.max() < self.num_instances
        if not is_right:
            raise UserError(
                f"The file's {name!r} is missing or not that of RecentRows(num_recent="
                f"{self.num_recent}). Received: {list(value.shape)}."
            )
        return value

    def get_config(self):
        config = super().get_config()
        del config["num_neighbors"]
        return {**config, "num_recent": self.num_recent}


def _differences(few, many):
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


def build_rows(
    num_instances, embedding_dim, num_recent, batch_size, num_neighbors, **arguments
):
    """`RecentRows`, or `LearnedRows` where num_recent is None.

    Args:
        batch_size: images of a step, over all replicas.
        num_neighbors: for label smoothing, else 0.
        arguments: of either.

    Raises:
        ValueError: where recent rows cannot be had, in the words of the flags.
    """
    if num_recent is None:
        return LearnedRows(
            num_instances, embedding_dim, num_neighbors=num_neighbors, **arguments
        )
    if num_neighbors:
        raise UserError(
            "`recent_negatives` and `label_smoothing` do not go together: a row's "
            "neighbors may not be among the recent ones. Set one of them alone."
        )
    if not batch_size <= num_recent <= num_instances:
        raise UserError(
            "`recent_negatives` must be at least `batch_size` and at most the number "
            f"of images. Received: recent_negatives={num_recent}, "
            f"batch_size={batch_size}, {num_instances} images."
        )
    return RecentRows(num_instances, embedding_dim, num_recent, **arguments)
