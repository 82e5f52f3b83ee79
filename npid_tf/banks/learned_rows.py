"""The rows of the instance classifier: weights that SGD learns, spread over devices."""

import keras
import tensorflow as tf

from npid_tf.banks.sharded_bank import ShardedMemoryBank
from npid_tf.checks import batch_checks
from npid_tf.checks.arguments import INT64, finite_number, whole_number
from npid_tf.distribution import replicas
from npid_tf.errors import UserError
from npid_tf.losses.one_pass import chunk_size


@keras.saving.register_keras_serializable("npid_tf")
class LearnedRows(ShardedMemoryBank):
    """A weight vector w_i for every image, read as w_i / ||w_i||.

    Like a bank it is looked up, searched, saved and exported; but its rows follow the
    gradient of the loss, by SGD with momentum and weight decay, u <- momentum u + g +
    weight_decay w, w <- w - learning_rate u. Replica r of R holds n / R of the rows,
    their velocities u and their neighbors (Liu et al. 2021, hybrid parallel): the
    gradient of a row never leaves its replica. On one replica it holds them all.

    Args:
        num_instances: rows, n.
        embedding_dim: columns, d.
        momentum: of SGD, in [0, 1).
        weight_decay: L2 penalty on the rows.
        num_neighbors: K, rows kept for every row as its nearest, for label smoothing;
            0 for none. They are n until they are found: see `RefreshNeighbors`.
        initializer, seed: as of `MemoryBank`.
    """

    def __init__(
        self,
        num_instances,
        embedding_dim,
        momentum=0.9,
        weight_decay=0.0,
        num_neighbors=0,
        initializer="normal",
        seed=0,
        name="learned_rows",
    ):
        super().__init__(
            num_instances, embedding_dim, momentum, initializer, seed, name=name
        )
        self.num_neighbors = whole_number("num_neighbors", num_neighbors, INT64.start)
        if not 0 <= self.num_neighbors < self.num_instances:
            raise UserError(
                "`num_neighbors` must be in [0, num_instances). Received: "
                f"num_neighbors={num_neighbors}, num_instances={num_instances}."
            )
        self.weight_decay = finite_number("weight_decay", weight_decay)
        self.velocity = self._add_rows("velocity", self.embedding_dim, "float32")
        if self.num_neighbors:
            # Of a GPU's kernels none keeps int32 in its memory, but uint32 all do.
            none = keras.initializers.Constant(self.num_instances)
            self.neighbors = self._add_rows(
                "neighbors", self.num_neighbors, "uint32", none
            )

    def _add_rows(self, name, columns, dtype, initializer="zeros"):
        return self._add(name, (self.rows_per_replica(), columns), dtype, initializer)

    def _add(self, name, shape, dtype, initializer="zeros"):
        self.built = False
        weight = self.add_weight(
            shape=shape,
            dtype=dtype,
            initializer=initializer,
            trainable=False,
            autocast=False,
            aggregation="none",  # Every replica changes its own.
            name=name,
        )
        self.built = True
        return weight

    def row_weights(self):
        weights = {"rows": self.vectors, "velocity": self.velocity}
        return weights | ({"neighbors": self.neighbors} if self.num_neighbors else {})

    def reader(self, dtype="float32"):
        read = super().reader(dtype)
        return lambda indices: tf.math.l2_normalize(read(indices), axis=-1)

    def read(self, first, end, weight=None):
        rows = super().read(first, end, weight)
        return rows if weight is not None else tf.math.l2_normalize(rows, 1).numpy()

    def update(self, indices, embeddings):
        """Raises ValueError: these rows follow the gradient, see `descend`."""
        raise UserError(
            f"{type(self).__name__} follow the gradient of InstanceCrossEntropy, in an "
            "InstanceClassifier; they are no average of embeddings. Use a MemoryBank."
        )

    def has_neighbors(self):
        """Whether the rows' neighbors have been found."""
        first = self.read(0, 1, self.neighbors)
        # Row 0 is none of its own: zeros are what older files have for none.
        return bool(((first > 0) & (first < self.num_instances)).all())

    def neighbors_of(self, indices):
        """The neighbors of all replicas' images: int64 [global batch] -> [..., K].

        Raises ValueError, or InvalidArgumentError in a graph, where they have not been
        found yet; under XLA they are n then.
        """
        is_here = self.holds(indices)
        first, variable = self._held(self.neighbors)
        found = tf.gather(variable, tf.where(is_here, indices - first, 0))
        # Exact in float64; of whole numbers, a GPU adds up and takes apart none.
        found = tf.where(is_here[:, None], tf.cast(found, tf.float64), 0.0)
        found = tf.cast(replicas.add_up(found), tf.int64)
        return batch_checks.after(
            tf.reduce_all(found < self.num_instances),
            found,
            "Labels cannot be smoothed yet: the rows have no neighbors. Call "
            "`training.refresh_neighbors.refresh_neighbors(bank)` first; `fit` does.",
        )

    def visit(self, indices):
        """Called with the images of each training step, before their loss."""

    def compared_rows(self, training):
        """The rows held here that all images are compared with.

        Returns a function from places int64 [m], counted from 0, to the numbers of rows
        int64 [m], and how many there are: an int, or an int32 scalar.
        """
        first, end = self.bounds(replicas.rank())
        return lambda places: first + places, end - first

    def descend(self, queries, log_totals, targets, weights, learning_rate):
        """A step of SGD on the `compared_rows`, for the images of all replicas.

        The gradient of row w_j is sum_i (exp(q_i.w_j - log_totals_i) - y_ij) q_i,
        less its part along w_j, over ||w_j||. It is made and applied in chunks of rows,
        never as a whole. Memory: O(chunk * (batch + dim) + batch * targets * dim).

        Args:
            queries: float32 [batch, d], embeddings over tau.
            log_totals: float32 [batch], log sum_j exp(q_i.w_j) and, added to it, the
                log of what to divide the gradients by.
            targets: int64 [batch, 1 + K], the rows j with y_ij > 0, each once.
            weights: float32 [1 + K], their y_ij, divided alike.
            learning_rate: float32 scalar.
        """
        first, rows = self._held()
        _, velocity = self._held(self.velocity)
        row_at, num_rows = self.compared_rows(training=True)
        numbers, pulls = self._pulls(queries, targets, weights, first, rows)

        def descend_chunk(size, start):
            places = tf.cast(start, tf.int64) + tf.range(size, dtype=tf.int64)
            chunk = row_at(places) - first
            old = tf.gather(rows, chunk)
            units, norms = _unit(old)
            scores = tf.matmul(units, queries, transpose_b=True)  # [size, batch]
            gradient = tf.matmul(tf.exp(scores - log_totals), queries)
            gradient = _tangent(gradient, units, norms) + self.weight_decay * old
            new = self.momentum * tf.gather(velocity, chunk) + gradient
            velocity.scatter_update(tf.IndexedSlices(new, chunk))
            rows.scatter_sub(tf.IndexedSlices(learning_rate * new, chunk))
            return start + size

        size = chunk_size(queries.shape[0] or 128, num_rows)
        (start,) = tf.while_loop(
            lambda start: start + size <= num_rows,
            lambda start: [descend_chunk(size, start)],
            [tf.constant(0)],
            parallel_iterations=1,
        )
        rest = num_rows % size
        if tf.is_tensor(rest) or rest:
            descend_chunk(rest, start)
        # SGD is linear in the gradient: the targets' part may come after.
        velocity.scatter_sub(tf.IndexedSlices(pulls, numbers))
        rows.scatter_add(tf.IndexedSlices(learning_rate * pulls, numbers))

    def _pulls(self, queries, targets, weights, first, rows):
        """The targets' part of the gradient: held rows' numbers here, and y_ij q_i."""
        pairs = tf.where(self.holds(targets))  # [num_pairs, 2]
        numbers = tf.gather_nd(targets, pairs) - first
        units, norms = _unit(tf.gather(rows, numbers))
        pulls = tf.gather(weights, pairs[:, 1])[:, None]
        pulls *= tf.gather(queries, pairs[:, 0])
        return numbers, _tangent(pulls, units, norms)

    def get_config(self):
        names = "num_instances embedding_dim momentum weight_decay num_neighbors"
        names += " initializer seed name"
        return {name: getattr(self, name) for name in names.split()}


def _unit(rows):
    norms = tf.maximum(tf.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows / norms, norms


def _tangent(gradient, units, norms):
    """The gradient in w of a function of w / ||w||."""
    along = tf.reduce_sum(gradient * units, axis=1, keepdims=True)
    return (gradient - along * units) / norms
