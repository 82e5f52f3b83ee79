"""The rows of the instance classifier: weights that SGD learns, spread over devices."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from npid_tf.banks.first_rows import INITIALIZERS, write_first_rows
from npid_tf.banks.keras_files import load_rows, save_rows
from npid_tf.banks.row_checks import checked_units
from npid_tf.banks.row_descent import NO_AVERAGE, descend
from npid_tf.banks.rows import Rows, blocks_of
from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import (
    INT64,
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
class LearnedRows(keras.layers.Layer):
    """A weight vector w_i for every image, read as w_i / ||w_i||.

    Like a bank it is looked up, searched, saved and exported; but its rows follow the
    gradient of the loss, by SGD with momentum and weight decay. Replica r of R holds
    n / R of the rows, their velocities and their neighbors (Liu et al. 2021, hybrid
    parallel): the gradient of a row never leaves its replica.

    Args:
        num_instances: rows, n.
        embedding_dim: columns, d.
        momentum: of SGD, in [0, 1).
        weight_decay: L2 penalty on the rows.
        num_neighbors: K, rows kept for every row as its nearest, for label smoothing;
            0 for none. They are n until they are found: see `RefreshNeighbors`.
        initializer, seed: as of `MemoryBank`.

    Example:

    >>> import npid_tf
    >>> rows = npid_tf.LearnedRows(1000, embedding_dim=128, num_neighbors=10)
    >>> rows.lookup([3, 7]).shape
    TensorShape([2, 128])
    """

    row_dtype = "float32"

    def __init__(
        self,
        num_instances: int,
        embedding_dim: int,
        momentum: float = 0.9,
        *,
        weight_decay: float = 0.0,
        num_neighbors: int = 0,
        initializer: str = "normal",
        seed: int = 0,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(name=name, **{"trainable": False, **in_float32(kwargs)})
        self.num_instances = whole_number("num_instances", num_instances, 2)
        self.embedding_dim = whole_number("embedding_dim", embedding_dim, 1)
        self.momentum = part_of_one("momentum", momentum)
        self.weight_decay = finite_number("weight_decay", weight_decay)
        self.num_neighbors = whole_number("num_neighbors", num_neighbors, INT64.start)
        if not 0 <= self.num_neighbors < self.num_instances:
            raise UserError(
                "`num_neighbors` must be in [0, num_instances). Received: "
                f"num_neighbors={num_neighbors}, num_instances={num_instances}."
            )
        self.initializer = one_of("initializer", initializer, INITIALIZERS)
        self.seed = seed_number(seed)
        shape = self.num_instances, self.embedding_dim
        self.rows = Rows(self, "vectors", *shape, placement="sharded")
        self.velocity = Rows(self, "velocity", *shape, placement="sharded")
        if self.num_neighbors:
            self.neighbors = Rows(
                self,
                "neighbors",
                self.num_instances,
                self.num_neighbors,
                # No GPU keeps int32 in its memory, but all keep uint32.
                dtype="uint32",
                placement="sharded",
                initializer=keras.initializers.Constant(self.num_instances),
            )
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
        """Called with the images of each training step, before their loss."""

    def candidates(self, training: bool) -> tuple:
        """The rows held here that all images are compared with: all of them.

        Returns a function from places int64 [m], counted from 0, to the numbers of rows
        int64 [m], and how many there are: an int, or an int32 scalar.
        """
        first, end = self.rows.bounds(replicas.rank())
        return lambda places: first + places, end - first

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

    def neighbors_of(self, indices: tf.Tensor) -> tf.Tensor:
        """The neighbors of all replicas' images: int64 [global batch] -> [..., K].

        Raises UserError, or InvalidArgumentError in a graph, where they have not been
        found yet; under XLA they are n then.
        """
        is_here = self.neighbors.holds(indices)
        first, variable = self.neighbors.local_slice()
        found = tf.gather(variable, tf.where(is_here, indices - first, 0))
        # As float64, which is exact: a GPU adds up and takes apart no whole numbers.
        found = tf.where(is_here[:, None], tf.cast(found, tf.float64), 0.0)
        found = tf.cast(replicas.all_reduce_sum(found), tf.int64)
        return batch_checks.after(
            tf.reduce_all(found < self.num_instances),
            found,
            "Labels cannot be smoothed yet: the rows have no neighbors. Call "
            "`npid_tf.banks.refresh_neighbors.refresh_neighbors(bank)` first; `fit` "
            "does.",
        )

    def pair_similarities(self, queries: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Similarities of images with rows of each one's own, those held here.

        queries: float32 [batch, d]; numbers: int64 [global batch, m]. Returns
        float32 [global batch, m], and a mask, False for rows not held here.
        """
        is_here = self.rows.holds(numbers)  # [global batch, m]
        pairs = tf.where(is_here)  # [num_pairs, 2]
        rows = self.reader()(tf.gather_nd(numbers, pairs))  # [num_pairs, d]
        queries = tf.gather(self.rows.all_gather(queries), pairs[:, 0])
        similarities = tf.linalg.matvec(rows[:, None], queries)[:, 0]
        shape = tf.shape(numbers, tf.int64)
        return tf.scatter_nd(pairs, similarities, shape), is_here

    # Called outside of steps.

    def has_neighbors(self) -> bool:
        """Whether the rows' neighbors have been found."""
        first = self.neighbors.read(0, 1)
        # Row 0 is none of its own: zeros are what older files have for none.
        return bool(((first > 0) & (first < self.num_instances)).all())

    def read(self, first: int, end: int) -> np.ndarray:
        """The unit rows from `first` to `end`: float32 array [end - first, d].

        Where several workers share the rows, all must call it.
        """
        return tf.math.l2_normalize(self.rows.read(first, end), 1).numpy()

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
        smoothing = {"neighbors": self.neighbors} if self.num_neighbors else {}
        return {"rows": self.rows, "velocity": self.velocity, **smoothing}

    def renumber(self, kept: np.ndarray) -> None:
        """As `MemoryBank.renumber`. Neighbors are found again before the next step."""
        if self.num_neighbors:
            unknown = np.full(self.neighbors.shape, self.num_instances, np.uint32)
            self.neighbors.write(0, unknown)

    def save_own_variables(self, store):
        save_rows(self, store)

    def load_own_variables(self, store):
        load_rows(self, store)

    def get_config(self):
        return {
            **super().get_config(),
            "num_instances": self.num_instances,
            "embedding_dim": self.embedding_dim,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "num_neighbors": self.num_neighbors,
            "initializer": self.initializer,
            "seed": self.seed,
        }
