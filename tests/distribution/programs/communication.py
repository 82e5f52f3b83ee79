"""Counts the bytes that a training step of the instance classifier exchanges.

Usage: python communication.py REPLICAS SMOOTHING...: prints, as JSON, what a device
gives to the collective operations of a step, for each smoothing and number of images.
"""

import json
import sys

import keras
import tensorflow as tf

from npid_tf import InstanceClassifier, InstanceCrossEntropy, LearnedRows
from npid_tf.distribution import replicas
from tests.distribution.programs.steps import strategy_of

DIM, NUM_NEIGHBORS, PER_DEVICE, PIXELS = 16, 5, 3, 6
SIZES = (100, 10_000)
SENT = []  # While a step is traced: the bytes that the first device gives, tensors.


def counting(method, argument):
    """A collective operation that counts what it is given, its argument-th."""

    def count(self, *arguments, **options):
        for value in tf.nest.flatten(arguments[argument]):
            tensor = tf.convert_to_tensor(value)
            if replicas.rank() == 0:
                SENT.append(tf.size(tensor) * tensor.dtype.size)
        return method(self, *arguments, **options)

    return count


def bytes_of_a_step(strategy, num_instances, smoothing):
    with strategy.scope():
        inputs = keras.Input([PIXELS])
        x = keras.layers.Dense(DIM, use_bias=False)(inputs)
        encoder = keras.Model(inputs, keras.layers.UnitNormalization()(x))
        neighbors = NUM_NEIGHBORS if smoothing else 0
        rows = LearnedRows(num_instances, DIM, num_neighbors=neighbors)
        loss = InstanceCrossEntropy(0.2, smoothing)
        model = InstanceClassifier(encoder, rows, loss)
        model.compile(keras.optimizers.SGD(0.1))

    def replica():
        numbers = tf.range(PER_DEVICE, dtype=tf.int64)
        indices = replicas.rank() * PER_DEVICE + numbers
        model.train_step((tf.ones([PER_DEVICE, PIXELS]), indices))
        return tf.add_n(SENT)

    @tf.function
    def step():
        return strategy.experimental_local_results(strategy.run(replica))[0]

    SENT.clear()
    return int(step())


def main(num_replicas, smoothings):
    strategy = strategy_of(num_replicas)
    context = tf.distribute.ReplicaContext
    context.all_gather = counting(context.all_gather, argument=0)
    context.all_reduce = counting(context.all_reduce, argument=1)
    found = [
        [bytes_of_a_step(strategy, n, smoothing) for n in SIZES]
        for smoothing in smoothings
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), [float(smoothing) for smoothing in sys.argv[2:]])
