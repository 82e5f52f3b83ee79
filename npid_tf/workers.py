"""The processes of a run, and what they agree on outside of its steps."""

import functools

import numpy as np
import tensorflow as tf

from npid_tf import replicas


def is_multi_worker(strategy):
    """Whether several processes train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy):
    """Whether this process writes what is written once."""
    if not is_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict()
    return resolver.task_type == ("chief" if "chief" in jobs else "worker") and (
        resolver.task_id == 0
    )


def tell(strategy, numbers):
    """What each worker says: a list of int64 -> int64 [replicas, len(numbers)].

    Every worker must call it, so that it is also where they wait for each other.
    """
    numbers = tf.constant(numbers, tf.int64)
    if not is_multi_worker(strategy):
        return numbers.numpy()[None]
    return np.array(_teller(strategy)(numbers))


@functools.cache
def _teller(strategy):
    @tf.function
    def gather(numbers):
        told = strategy.run(lambda: replicas.gather(numbers[None]))
        return strategy.experimental_local_results(told)[0]

    return gather


def wait(strategy):
    """Returns when every worker has called it."""
    tell(strategy, [0])
