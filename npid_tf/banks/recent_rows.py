"""Learned rows of which a step reads and moves the most recently visited alone."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from npid_tf.banks.first_rows import INITIALIZERS, write_first_rows
from npid_tf.banks.keras_files import load_rows, save_rows
from npid_tf.banks.recency import Recency
from npid_tf.banks.row_checks import checked_units
from npid_tf.banks.row_descent import NO_AVERAGE, descend
from npid_tf.banks.rows import Rows, blocks_of
from npid_tf.banks.skipped_updates import skip_updates
from npid_tf.checks.arguments import (
    finite_number,
    one_of,
    part_of_one,
    seed_number,
    whole_number,
)
from npid_tf.checks.layer_arguments import in_float32
from npid_tf.distribution import replicas
from npid_tf.errors import UserError


@keras.saving.register_keras_serializable("npid_tf")
class RecentRows(keras.layers.Layer):
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

    Example:

    >>> import npid_tf
    >>> rows = npid_tf.RecentRows(1000, embedding_dim=128, num_recent=256)
    >>> rows.lookup([3, 7]).shape
    TensorShape([2, 128])
    """

    row_dtype = "float32"
    num_neighbors = 0  # Labels cannot be smoothed.

    def __init__(
        self,
        num_instances: int,
        embedding_dim: int,
        num_recent: int,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        initializer: str = "normal",
        seed: int = 0,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(name=name, **{"trainable": False, **in_float32(kwargs)})
        self.num_instances = whole_number("num_instances", num_instances, 2)
        self.embedding_dim = whole_number("embedding_dim", embedding_dim, 1)
        self.num_recent = whole_number("num_recent", num_recent, 0)
        if not 1 <= self.num_recent <= self.num_instances:
            raise UserError(
                "`num_recent` must be in [1, num_instances]. Received: "
                f"num_recent={num_recent}, num_instances={num_instances}."
            )
        self.momentum = part_of_one("momentum", momentum)
        self.weight_decay = finite_number("weight_decay", weight_decay)
        self.initializer = one_of("initializer", initializer, INITIALIZERS)
        self.seed = seed_number(seed)
        shape = self.num_instances, self.embedding_dim
        self.rows = Rows(self, "vectors", *shape, placement="sharded")
        self.velocity = Rows(self, "velocity", *shape, placement="sharded")
        self.recency = Recency(self, self.num_instances, self.num_recent)
        self.built = True
        write_first_rows(self.rows, self.initializer, self.seed)

    @property
    def vectors(self) -> keras.Variable:
        """The variable that holds the rows, of any length."""
        return self.rows.variable

    # Called in a replica context, by the loss and by InstanceClassifier.

    def lookup(self, indices: ArrayLike) -> tf.Tensor:
        """The unit rows of a replica's images: int64 [batch] -> float32 [batch, d].

        Raises as `MemoryBank.lookup`.
        """
        return self.rows.lookup(indices, self.reader())

    def reader(self, dtype: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
        """As `MemoryBank.reader`: unit rows."""
        read = self.rows.local_reader(dtype)
        return lambda indices: tf.math.l2_normalize(read(indices), axis=-1)

    def mark_recent(self, indices: tf.Tensor) -> None:
        """Makes the rows of all replicas' images, int64 [batch], the most recent."""
        numbers, missed = self.recency.visit(indices)
        first, rows = self.rows.local_slice()
        _, velocity = self.velocity.local_slice()
        numbers -= first
        new, new_velocity = self._caught_up(
            tf.gather(rows, numbers), tf.gather(velocity, numbers), missed
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

    def candidates(self, training: bool) -> tuple:
        """As `LearnedRows.candidates`: of the recent rows alone, where it trains."""
        if not training:
            first, end = self.rows.bounds(replicas.rank())
            return lambda places: first + places, end - first
        recent, count = self.recency.local()
        return lambda places: tf.gather(recent, places), count

    def update(self, indices: ArrayLike, embeddings: ArrayLike) -> None:
        """Raises UserError: rows follow the gradient, see `descend`."""
        raise UserError(NO_AVERAGE.format(type(self).__name__))

    def descend(
        self,
        queries: tf.Tensor,
        log_totals: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """A step of SGD on the `candidates`; arguments: as of `row_descent.descend`."""
        descend(
            self.rows,
            self.velocity,
            self.candidates(training=True),
            queries=queries,
            log_totals=log_totals,
            targets=targets,
            weights=weights,
            learning_rate=learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        self.recency.tick(learning_rate)

    # Called outside of steps.

    def read(self, first: int, end: int) -> np.ndarray:
        """As `LearnedRows.read`, with the steps made up for that rows have missed."""
        rows, _ = self._caught_up(
            self.rows.read(first, end),
            self.velocity.read(first, end),
            self.recency.missed(first, end),
        )
        return tf.math.l2_normalize(rows, axis=1).numpy()

    def blocks(self) -> Iterator[np.ndarray]:
        """All unit rows in order, in blocks: float32 arrays [up to 65,536, d]."""
        for first, end in blocks_of(self.num_instances):
            yield self.read(first, end)

    def numpy(self) -> np.ndarray:
        """All unit rows: float32 array [num_instances, d]."""
        return np.concatenate(list(self.blocks()))

    def write(self, first: int, rows: ArrayLike) -> None:
        """Replaces the rows from `first` on, as they are; see `MemoryBank.write`."""
        self.rows.write(first, rows)

    def assign(self, vectors: ArrayLike) -> None:
        """Replaces all rows; see `MemoryBank.assign`."""
        self.rows.write(0, checked_units(vectors, self.rows))

    # Called by checkpoints and by Keras.

    def all_rows(self) -> dict[str, Rows]:
        """All `Rows` that the bank keeps, by their names in files."""
        return {"rows": self.rows, "velocity": self.velocity, "left": self.recency.left}

    def renumber(self, kept: np.ndarray) -> None:
        """As `MemoryBank.renumber`: all rows make up now for the steps that they have
        missed, and new ones take the places of recent ones that are gone."""
        recent = self.recency.renumbered(kept)
        new = np.arange(kept.sum(), self.num_instances)
        have_missed_none = np.concatenate([recent, new])
        for first, end in blocks_of(self.num_instances):
            rows, velocity = self._caught_up(
                self.rows.read(first, end),
                self.velocity.read(first, end),
                self.recency.missed(first, end, have_missed_none),
            )
            self.rows.write(first, rows)
            self.velocity.write(first, velocity)
        self.recency.start_with(recent)

    def save_own_variables(self, store):
        save_rows(self, store)
        store["recent"] = self.recency.recent.numpy()
        store["clock"] = self.recency.clock.numpy()

    def load_own_variables(self, store):
        others = self.recency.checked(store)
        load_rows(self, store)
        for variable, value in others:
            variable.assign(value)

    def get_config(self):
        return {
            **super().get_config(),
            "num_instances": self.num_instances,
            "embedding_dim": self.embedding_dim,
            "num_recent": self.num_recent,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "initializer": self.initializer,
            "seed": self.seed,
        }
