"""Counts the bytes that a training step of the instance classifier exchanges.

Usage: python communication.py REPLICAS: prints, as JSON, what a device gives to the
collective operations of a step, for some numbers of images, with smoothing and without.
"""

import json
import sys

import keras
import tensorflow as tf
from steps import strategy_of

from npid_tf import InstanceClassifier, InstanceCrossEntropy, LearnedRows

DIM, NUM_NEIGHBORS, PER_DEVICE = 16, 5, 3
SIZES = (100, 10_000)
SENT = []  # While a step is traced: the bytes of each collective operation, tensors.


def counting(method):
    """A collective operation that notes the bytes of what it is given."""

    def count(self, *arguments, **options):
        # The value comes first in all_gather, second in all_reduce.
        value = arguments[0 if method.__name__ == "all_gather" else 1]
        for tensor in tf.nest.flatten(value):
            tensor = tf.convert_to_tensor(tensor)
            if self.replica_id_in_sync_group == 0:
                SENT.append(tf.size(tensor) * tensor.dtype.size)
        return method(self, *arguments, **options)

    return count


def bytes_of_a_step(strategy, num_instances, smoothing):
    with strategy.scope():
        inputs = keras.Input([6])
        x = keras.layers.Dense(DIM)(inputs)
        encoder = keras.Model(inputs, keras.layers.UnitNormalization()(x))
        neighbors = NUM_NEIGHBORS if smoothing else 0
        rows = LearnedRows(num_instances, DIM, num_neighbors=neighbors)
        loss = InstanceCrossEntropy(0.2, smoothing)
        model = InstanceClassifier(encoder, rows, loss)
        model.compile(keras.optimizers.SGD(0.1))

    def replica():
        rank = tf.distribute.get_replica_context().replica_id_in_sync_group
        numbers = tf.range(PER_DEVICE, dtype=tf.int64)
        indices = tf.cast(rank, tf.int64) * PER_DEVICE + numbers
        model.train_step((tf.ones([PER_DEVICE, 6]), indices))
        return tf.add_n(SENT) if SENT else tf.constant(0)

    @tf.function
    def step():
        return strategy.experimental_local_results(strategy.run(replica))[0]

    SENT.clear()
    return int(step())


def main(num_replicas):
    strategy = strategy_of(num_replicas)
    context = tf.distribute.ReplicaContext
    context.all_gather = counting(context.all_gather)
    context.all_reduce = counting(context.all_reduce)
    found = {
        f"{smoothing} {n}": bytes_of_a_step(strategy, n, smoothing)
        for smoothing in (0.0, 0.2)
        for n in SIZES
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
