"""The memory bank V = {v_j}: one unit vector for every training image."""

import keras
import numpy as np
import tensorflow as tf

from npid_tf.banks.row_checks import check_range, checked_rows, checked_vectors
from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import one_of, part_of_one, seed_number, whole_number
from npid_tf.distribution import replicas
from npid_tf.errors import UserError

ROWS_AT_ONCE = 65_536


def _uniform(shape, seed):
    limit = (3 / shape[1]) ** 0.5  # s = 1 / sqrt(d / 3): rows of about unit length
    return tf.random.stateless_uniform(shape, seed, minval=-limit, maxval=limit)


# Functions of a shape and a seed [2]; the bank normalizes what they give.
INITIALIZERS = {"uniform": _uniform, "normal": tf.random.stateless_normal}


@keras.saving.register_keras_serializable("npid_tf")
class MemoryBank(keras.layers.Layer):
    """Vectors [num_instances, embedding_dim], row i that of image i.

    Only `update` (one batch), `assign` and `write` change it. A row becomes
    normalize(momentum * old + (1 - momentum) * embedding), so `momentum` is what it
    keeps of the past, as `nce_m` in the authors' code (some ports mean the opposite).
    Every replica holds a copy of all rows; `ShardedMemoryBank` is the alternative.

    Args:
        num_instances: rows, n.
        embedding_dim: columns, d.
        momentum: in [0, 1).
        initializer: `uniform` (the authors': each value in +-sqrt(3 / d), here
            normalized) or `normal` (uniform on the sphere).
        seed: of the initial rows.
        row_dtype: what rows are stored as, and the losses multiply: float32 or
            bfloat16. All else reads them as float32.

    Raises:
        ValueError: for an unknown initializer or dtype, or values out of range.
    """

    def __init__(
        self,
        num_instances,
        embedding_dim,
        momentum=0.5,
        initializer="uniform",
        seed=0,
        row_dtype="float32",
        name="memory_bank",
    ):
        super().__init__(name=name, trainable=False, dtype="float32")
        self.num_instances = whole_number("num_instances", num_instances, 2)
        self.embedding_dim = whole_number("embedding_dim", embedding_dim, 1)
        self.momentum = part_of_one("momentum", momentum)
        self.initializer = one_of("initializer", initializer, INITIALIZERS)
        self.seed = seed_number(seed)
        self.row_dtype = one_of("row_dtype", row_dtype, ("float32", "bfloat16"))
        self.strategy = tf.distribute.get_strategy()
        self.local_ranks = replicas.local_ranks(self.strategy)
        self.vectors = self.add_weight(
            shape=(self.rows_per_replica(), self.embedding_dim),
            dtype=row_dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="none",  # Every replica changes its own copy, see `update`.
            name="vectors",
        )
        self.built = True
        self._write_first_rows()

    def rows_per_replica(self):
        """Rows that each device has room for."""
        return self.num_instances

    def bounds(self, rank):
        """(first, end): the rows that the replica of this rank holds."""
        return 0, self.num_instances

    # Called in a replica context, by the losses and by NPID.

    def lookup(self, indices):
        """The rows v_j of a replica's images: int64 [batch] -> float32 [batch, d].

        Raises ValueError, or InvalidArgumentError in a graph, for indices that are no
        rows; under XLA, which cannot raise, their rows are NaN.
        """
        indices = batch_checks.checked_numbers(indices, self.num_instances)
        rows = self._rows_of(indices)
        return batch_checks.nan_outside(rows, indices, self.num_instances)

    def _rows_of(self, indices):
        return self.held_rows(tf.clip_by_value(indices, 0, self.num_instances - 1))

    def held_rows(self, indices):
        """Rows that this replica holds: integers [...] -> float32 [..., d]."""
        return self.reader()(indices)

    def reader(self, dtype="float32"):
        """`held_rows` as a function that may be called in a loop of the graph.

        dtype: of what it returns.
        """
        first, variable = self._held()  # A loop's body does not know its replica.

        def read_rows(indices):
            # A gather reads its rows alone; any other read of a variable that has been
            # scattered to copies all of it.
            numbers = tf.convert_to_tensor(indices) - first
            return tf.cast(tf.gather(variable, numbers), dtype)

        return read_rows

    def held_positions(self, indices):
        """Where in a batch of indices [batch] those of rows held here are: int32."""
        return tf.range(tf.shape(indices)[0])

    def collect(self, batch):
        """What the rows held here are compared with: here, this replica's batch."""
        return batch

    def combine(self, sums, batch):
        """Sums over held rows for `collect(batch)` -> over all rows for `batch`."""
        return sums

    def compared_part(self, gathered, batch):
        """Of what is known of all replicas' images, that for `collect(batch)`."""
        return replicas.own_part(gathered, batch)

    def update(self, indices, embeddings):
        """Moves the rows of a batch towards its embeddings, in place.

        Of an index that is in a batch several times, such as an image in several
        views, the mean of its embeddings counts. All replicas' pairs are gathered, and
        each changes the rows it holds: copies stay equal.

        Args:
            indices: int64 [batch].
            embeddings: float32 [batch, embedding_dim], unit length.

        Raises:
            ValueError: for other shapes and dtypes, and, eagerly, for indices that are
                no rows and embeddings that are not finite; in a graph
                InvalidArgumentError. Under XLA nothing is written then.
        """
        indices, embeddings = batch_checks.checked_pairs(indices, embeddings, self)
        embeddings = batch_checks.checked_finite(embeddings)
        is_right = batch_checks.are_rows(indices, self.num_instances)
        is_right &= tf.reduce_all(tf.math.is_finite(embeddings))
        indices = replicas.gather(tf.where(is_right, indices, 0))
        embeddings = replicas.gather(embeddings)
        embeddings = replicas.means_by_index(indices, embeddings)
        positions = self.held_positions(indices)
        indices = tf.gather(indices, positions)
        embeddings = tf.gather(embeddings, positions)
        old = self.held_rows(indices)
        mixed = self.momentum * old + (1 - self.momentum) * embeddings
        # Under XLA nothing else keeps a wrong batch out.
        rows = tf.where(is_right, tf.math.l2_normalize(mixed, axis=1), old)
        first, variable = self._held()
        rows = tf.cast(rows, self.row_dtype)
        variable.scatter_update(tf.IndexedSlices(rows, indices - first))

    def _held(self, weight=None):
        """The first row that this replica holds, and the variable on its device."""
        replicas.check_place(self.strategy, self.name)
        rank = replicas.rank()
        first, _ = self.bounds(rank)
        variable = (self.vectors if weight is None else weight).value
        if isinstance(variable, tf.distribute.DistributedValues):
            # The mirrored variable itself would read, and so copy, all of it.
            variable = variable.values[self.local_ranks.index(rank)]
        return first, variable

    # Called outside of steps.

    def row_weights(self):
        """All weights that have a row for every image, by their names in files."""
        return {"rows": self.vectors}

    def parts(self, weight=None):
        """The rows of each device of this process: a list of (first, end, variable).

        weight: one of `row_weights`; None: the vectors, here as below.
        """
        variable = (self.vectors if weight is None else weight).value
        if not isinstance(variable, tf.distribute.DistributedValues):
            return [(*self.bounds(0), variable)]
        pairs = zip(self.local_ranks, variable.values, strict=True)
        return [(*self.bounds(rank), copy) for rank, copy in pairs]

    def parts_to_write(self, weight=None):
        """The `parts` that this process saves, none of which another one does."""
        return self.parts(weight)[:1] if 0 in self.local_ranks else []

    def write(self, first, rows, weight=None):
        """Replaces the rows from `first` on, as they are; rows: [num_rows, d].

        Raises ValueError, and writes nothing, for rows of another shape or dtype, that
        are not finite or that the bank does not have.
        """
        weight = self.vectors if weight is None else weight
        rows = checked_rows(rows, first, weight, self.num_instances)
        for start, end, variable in self.parts(weight):
            low, high = max(first, start), min(first + len(rows), end)
            if low < high:
                chosen = tf.cast(rows[low - first : high - first], variable.dtype)
                numbers = tf.range(low - start, high - start)
                variable.scatter_update(tf.IndexedSlices(chosen, numbers))

    def assign(self, vectors):
        """Replaces all rows. vectors: float [num_instances, d]; they are normalized.

        Raises ValueError for another shape, and where they are not finite.
        """
        vectors = checked_vectors(vectors, self.num_instances, self.embedding_dim)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.write(0, vectors / np.maximum(norms, 1e-12))

    def blocks(self):
        """All rows in order, in blocks: float32 arrays [up to 65,536, d]."""
        for first in range(0, self.num_instances, ROWS_AT_ONCE):
            yield self.read(first, min(first + ROWS_AT_ONCE, self.num_instances))

    def read(self, first, end, weight=None):
        """The rows from `first` to `end`: array [end - first, d], of no bfloat16."""
        check_range(first, end, self.num_instances)
        _, _, variable = self.parts(weight)[0]
        rows = tf.gather(variable, tf.range(first, end))
        return tf.cast(rows, readable_dtype(variable)).numpy()

    def numpy(self):
        """All rows: float32 array [num_instances, d]."""
        return np.concatenate(list(self.blocks()))

    def _write_first_rows(self):
        draw = INITIALIZERS[self.initializer]
        for number, first in enumerate(range(0, self.num_instances, ROWS_AT_ONCE)):
            count = min(ROWS_AT_ONCE, self.num_instances - first)
            # By the number of the block: a row is the same however many hold parts.
            rows = draw((count, self.embedding_dim), [self.seed, number])
            self.write(first, tf.math.l2_normalize(rows, axis=1))

    def save_own_variables(self, store):
        for name, weight in self.row_weights().items():
            store[name] = self.read(0, self.num_instances, weight)

    def load_own_variables(self, store):
        self._load(store, self.row_weights())

    def _load(self, store, weights):
        """Writes the rows of all weights, or of none where some do not fit."""
        found = {}
        for name, weight in weights.items():
            if name not in store:
                raise UserError(f"The file holds no {name!r} of the bank.")
            rows, shape = np.asarray(store[name]), (self.num_instances, weight.shape[1])
            if rows.shape != shape:
                raise UserError(
                    f"The file holds a bank of shape {rows.shape}. Expected: {shape}."
                )
            found[name] = checked_rows(rows, 0, weight, self.num_instances)
        for name, rows in found.items():
            self.write(0, rows, weights[name])

    def get_config(self):
        names = "num_instances embedding_dim momentum initializer seed row_dtype name"
        return {name: getattr(self, name) for name in names.split()}


def readable_dtype(variable):
    """What its rows are read as: NumPy's files know no bfloat16, collectives, which
    bring the rows of several workers together, no uint32."""
    readable = {tf.bfloat16: tf.float32, tf.uint32: tf.int32}
    return readable.get(variable.dtype, variable.dtype)
