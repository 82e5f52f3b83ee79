"""What a step is given, and what it tells: batches of all replicas, and logs."""

import tensorflow as tf

from npid_tf.checks import batch_checks
from npid_tf.distribution import replicas, workers


def add_counter(model):
    """A model's variable that counts its steps: int64 scalar."""
    return model.add_weight(
        shape=(),
        dtype="int64",
        initializer="zeros",
        trainable=False,
        aggregation="only_first_replica",
        name="step",
    )


def unpack(data, num_instances):
    """(images, indices) of a batch, checked; see `batch_checks.unpack`."""
    images, indices = batch_checks.unpack(data, num_instances)
    if replicas.num_replicas() > 1:
        images = check_not_empty(images)
    return images, indices


def check_not_empty(images):
    """`images`, asserted to be some on each replica."""
    message = (
        "A replica got no image of a batch. Expected: at least one for each replica. "
        "Drop the last batch, `batch(size, drop_remainder=True)`, or make it larger."
    )
    with tf.control_dependencies(
        [tf.debugging.assert_positive(tf.shape(images)[0], message)]
    ):
        return tf.identity(images)


def global_batch_size(losses):
    """Images of a step over all replicas: a float32 scalar."""
    return replicas.all_reduce_sum(tf.cast(tf.shape(losses)[0], tf.float32))


def logs_of(model):
    """What a step returns to Keras: {"loss": the epoch's mean so far}."""
    loss = model.loss_tracker.result()
    # Keras reduces what the replicas of several workers return along axis 0.
    is_multi_worker = workers.is_multi_worker(model.distribute_strategy)
    return {"loss": loss[None] if is_multi_worker else loss}
