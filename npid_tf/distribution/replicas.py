"""Collective operations of the replicas of a step; on one replica, the identity.

All but the last are called in a replica context, as in `train_step`, by every replica.
They are differentiable, by tf.distribute's own gradients.
"""

import functools

import tensorflow as tf

from npid_tf.errors import UserError


def num_replicas():
    """Replicas in the current step, over all workers."""
    replica = tf.distribute.get_replica_context()
    if replica is None:
        raise UserError(
            "This is a part of a step, which replicas take: call it by `fit`, "
            "`evaluate` or `strategy.run`. Received: a call in a strategy's scope."
        )
    return replica.num_replicas_in_sync


def check_place(strategy, name):
    """Raises UserError where a bank called `name`, made in the scope of `strategy`, is
    used by replicas that are not that strategy's: they would all move one copy, or one
    would move its own alone."""
    here = tf.distribute.get_strategy()
    count = num_replicas()
    if here is not strategy and max(count, strategy.num_replicas_in_sync) > 1:
        raise UserError(
            f"`{name}` must be used by the replicas of the strategy in whose scope it "
            "was made, by `fit` or `strategy.run`. Received: "
            f"{describe(strategy)} then, {describe(here)} here."
        )


def describe(strategy):
    """A strategy in words."""
    # TensorFlow's own for where there is none has one replica, as what keeps to none.
    if strategy is None or type(strategy).__name__ == "_DefaultDistributionStrategy":
        return "no strategy"
    return f"{type(strategy).__name__} of {strategy.num_replicas_in_sync} replica(s)"


def strategy_of(variable):
    """The strategy in whose scope a Keras variable was made; None where it keeps to no
    replicas: it was made in none, or in one that has a single device."""
    value = getattr(variable, "value", variable)
    is_distributed = isinstance(value, tf.distribute.DistributedValues)
    return value.distribute_strategy if is_distributed else None


def check_made_here(name, variables):
    """Raises UserError where variables were made in another scope than the current."""
    here = tf.distribute.get_strategy()
    is_single = isinstance(here, tf.distribute.OneDeviceStrategy)
    expected = here if tf.distribute.has_strategy() and not is_single else None
    for variable in variables:
        found = strategy_of(variable)
        if found is not expected:
            raise UserError(
                f"`{name}` must be made in the scope of the strategy that trains it, "
                "where the model is made and compiled: `with strategy.scope():`. "
                f"Received: {describe(found)} for {variable.path}, {describe(here)} "
                "here."
            )


def rank():
    """The number of this replica, a Python int in [0, num_replicas())."""
    if num_replicas() == 1:
        return 0
    replica = tf.distribute.get_replica_context()
    return int(tf.get_static_value(replica.replica_id_in_sync_group))


def all_gather(batch):
    """The batches of all replicas along axis 0, in the order of their ranks."""
    if num_replicas() == 1:
        return batch
    # A tensor without a device, such as the data set's own, is refused.
    batch = tf.identity(batch)
    gathered = tf.distribute.get_replica_context().all_gather(batch, axis=0)
    return _with_dense_gradient(tf.ensure_shape(gathered, [None, *batch.shape[1:]]))


@tf.custom_gradient
def _with_dense_gradient(value):
    # The gradient of `all_gather` fails on that of tf.gather, which is sparse.
    return tf.identity(value), tf.convert_to_tensor


def all_reduce_sum(value):
    """The sum over the replicas of a tensor, or of each of a list."""
    if num_replicas() == 1:
        return value
    value = tf.nest.map_structure(tf.identity, value)
    return tf.distribute.get_replica_context().all_reduce("SUM", value)


def local_slice(gathered, batch):
    """This replica's part of what `all_gather` gives: as many rows as `batch` has."""
    if num_replicas() == 1:
        return gathered
    size = tf.shape(batch)[0]
    sizes = all_gather(size[None])  # Replicas may hold batches of different sizes.
    first = tf.reduce_sum(sizes[: rank()])
    return gathered[first : first + size]


def local_copy(value, ranks):
    """Of a variable this replica's own copy; `ranks`: see `local_ranks`."""
    if not isinstance(value, tf.distribute.DistributedValues):
        return value
    # The mirrored variable itself would read, and so copy, all of it.
    return value.values[ranks.index(rank())]


def means_by_index(indices, embeddings):
    """For each position of a batch the mean of all embeddings of its index.

    indices: int64 [batch]; embeddings: float32 [batch, d], as the result.
    """
    is_equal = indices[:, None] == indices[None, :]  # [batch, batch]
    shares = tf.cast(is_equal, tf.float32)
    shares /= tf.reduce_sum(shares, axis=1, keepdims=True)
    means = tf.matmul(shares, embeddings)
    # A scatter of different rows to one index takes any of them on a GPU, not the same
    # on each, and means may differ in their last bits: so all get the last one's.
    # int64: a GPU finds the largest int32 on the host, of a table [batch, batch].
    positions = tf.range(tf.shape(indices)[0], dtype=tf.int64)
    last = tf.reduce_max(tf.where(is_equal, positions, 0), axis=1)
    return tf.gather(means, last)


@functools.cache
def local_ranks(strategy):
    """The ranks of the replicas that a strategy has in this process: a tuple."""

    @tf.function
    def ranks():
        return strategy.run(lambda: tf.constant(rank()))

    return tuple(int(r) for r in strategy.experimental_local_results(ranks()))
