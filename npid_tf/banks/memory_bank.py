"""The memory bank V = {v_j}: one unit vector for every training image."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from npid_tf.banks.first_rows import INITIALIZERS, write_first_rows
from npid_tf.banks.keras_files import load_rows, save_rows
from npid_tf.banks.row_checks import checked_units
from npid_tf.banks.rows import Rows
from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import one_of, part_of_one, seed_number, whole_number
from npid_tf.checks.layer_arguments import in_float32
from npid_tf.distribution import replicas


@keras.saving.register_keras_serializable("npid_tf")
class MemoryBank(keras.layers.Layer):
    """Vectors [num_instances, embedding_dim], row i that of image i.

    Only `update` (one batch), `assign` and `write` change it. A row becomes
    normalize(momentum * old + (1 - momentum) * embedding), so `momentum` is what it
    keeps of the past, as `nce_m` in the authors' code (some ports mean the opposite).

    Args:
        num_instances: rows, n.
        embedding_dim: columns, d.
        momentum: in [0, 1).
        initializer: `uniform` (the authors': each value in +-sqrt(3 / d), here
            normalized) or `normal` (uniform on the sphere).
        seed: of the initial rows.
        row_dtype: what rows are stored as, and the losses multiply: float32 or
            bfloat16. All else reads them as float32.
        placement: `replicated` (all rows on each device) or `sharded` (a part on each).

    Raises:
        UserError: for an unknown initializer, dtype or placement, or values out of
            range.

    Example:

    >>> import keras, npid_tf
    >>> bank = npid_tf.MemoryBank(num_instances=1000, embedding_dim=128, momentum=0.5)
    >>> embeddings = keras.ops.normalize(keras.random.normal([2, 128]), axis=1)
    >>> bank.update([3, 7], embeddings)
    >>> bank.lookup([3, 7]).shape
    TensorShape([2, 128])
    """

    def __init__(
        self,
        num_instances: int,
        embedding_dim: int,
        momentum: float = 0.5,
        *,
        initializer: str = "uniform",
        seed: int = 0,
        row_dtype: str = "float32",
        placement: str = "replicated",
        name: str | None = None,
        **kwargs,
    ):
        kwargs = in_float32(kwargs, "What rows are stored as is `row_dtype`.")
        super().__init__(name=name, **{"trainable": False, **kwargs})
        self.num_instances = whole_number("num_instances", num_instances, 2)
        self.embedding_dim = whole_number("embedding_dim", embedding_dim, 1)
        self.momentum = part_of_one("momentum", momentum)
        self.initializer = one_of("initializer", initializer, INITIALIZERS)
        self.seed = seed_number(seed)
        self.row_dtype = one_of("row_dtype", row_dtype, ("float32", "bfloat16"))
        self.placement = placement
        self.rows = Rows(
            self,
            "vectors",
            self.num_instances,
            self.embedding_dim,
            dtype=self.row_dtype,
            placement=placement,
        )
        self.built = True
        write_first_rows(self.rows, self.initializer, self.seed)

    @property
    def vectors(self) -> keras.Variable:
        """The variable that holds the rows."""
        return self.rows.variable

    # Called in a replica context, by the losses and by NPID.

    def lookup(self, indices: ArrayLike) -> tf.Tensor:
        """The rows v_j of a replica's images: int64 [batch] -> float32 [batch, d].

        Raises UserError, or InvalidArgumentError in a graph, for indices that are no
        rows; under XLA, which cannot raise, their rows are NaN.
        """
        return self.rows.lookup(indices, self.reader())

    def reader(self, dtype: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
        """A function from numbers of rows that this replica holds, integers [...], to
        the rows, `dtype` [..., d]. It may be called in a loop of the graph."""
        return self.rows.local_reader(dtype)

    def update(self, indices: ArrayLike, embeddings: ArrayLike) -> None:
        """Moves the rows of a batch towards its embeddings, in place.

        Of an index that is in a batch several times, such as an image in several
        views, the mean of its embeddings counts. All replicas' pairs are gathered, and
        each changes the rows it holds: copies stay equal.

        Args:
            indices: int64 [batch].
            embeddings: float32 [batch, embedding_dim], unit length.

        Raises:
            UserError: for other shapes and dtypes, and, eagerly, for indices that are
                no rows and embeddings that are not finite; in a graph
                InvalidArgumentError. Under XLA nothing is written then.
        """
        indices, embeddings = batch_checks.checked_pairs(indices, embeddings, self)
        embeddings = batch_checks.checked_finite(embeddings)
        is_right = batch_checks.are_rows(indices, self.num_instances)
        is_right &= tf.reduce_all(tf.math.is_finite(embeddings))
        indices = replicas.all_gather(tf.where(is_right, indices, 0))
        embeddings = replicas.all_gather(embeddings)
        embeddings = replicas.means_by_index(indices, embeddings)
        positions = self.rows.local_positions(indices)
        indices = tf.gather(indices, positions)
        embeddings = tf.gather(embeddings, positions)
        old = self.rows.local_reader()(indices)
        mixed = self.momentum * old + (1 - self.momentum) * embeddings
        # Under XLA nothing else keeps a wrong batch out.
        rows = tf.where(is_right, tf.math.l2_normalize(mixed, axis=1), old)
        first, variable = self.rows.local_slice()
        rows = tf.cast(rows, self.row_dtype)
        variable.scatter_update(tf.IndexedSlices(rows, indices - first))

    # Called outside of steps.

    def read(self, first: int, end: int) -> np.ndarray:
        """The rows from `first` to `end`: float32 array [end - first, d].

        Where several workers share the rows, all must call it.
        """
        return self.rows.read(first, end)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, in blocks: float32 arrays [up to 65,536, d]."""
        return self.rows.blocks()

    def numpy(self) -> np.ndarray:
        """All rows: float32 array [num_instances, d]."""
        return self.rows.numpy()

    def write(self, first: int, rows: ArrayLike) -> None:
        """Replaces the rows from `first` on, as they are; rows: [count, d].

        Raises UserError, and writes nothing, for rows of another shape or dtype, that
        are not finite or that the bank does not have.
        """
        self.rows.write(first, rows)

    def assign(self, vectors: ArrayLike) -> None:
        """Replaces all rows. vectors: float [num_instances, d]; they are normalized.

        Raises UserError for another shape, and where they are not finite.
        """
        self.rows.write(0, checked_units(vectors, self.rows))

    # Called by checkpoints and by Keras.

    def all_rows(self) -> dict[str, Rows]:
        """All `Rows` that the bank keeps, by their names in files."""
        return {"rows": self.rows}

    def renumber(self, kept: np.ndarray) -> None:
        """Called where images have come or gone, after their rows were read: of those
        before, bool [rows before], the kept ones are the first rows now, in their
        order. The others are new."""

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
            "initializer": self.initializer,
            "seed": self.seed,
            "row_dtype": self.row_dtype,
            "placement": self.placement,
        }


@keras.saving.register_keras_serializable("npid_tf")
class ShardedMemoryBank(MemoryBank):
    """`MemoryBank(placement="sharded")`: each device holds a part of the rows.

    Example:

    >>> import npid_tf
    >>> bank = npid_tf.ShardedMemoryBank(num_instances=1000, embedding_dim=128)
    >>> bank.placement
    'sharded'
    """

    def __init__(self, *args: Any, placement: str = "sharded", **kwargs: Any):
        super().__init__(*args, placement=placement, **kwargs)
