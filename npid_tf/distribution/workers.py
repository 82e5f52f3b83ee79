"""The processes of a run, and what they agree on outside of its steps."""

import contextlib
import functools
import os
import signal
import sys
import traceback

import numpy as np
import tensorflow as tf

from npid_tf.distribution import replicas
from npid_tf.errors import is_of_user


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


def all_gather(strategy, numbers):
    """Each worker's numbers: a list of int64 -> int64 [replicas, len(numbers)].

    Every worker must call it, so that it is also where they wait for each other.
    """
    if not is_multi_worker(strategy):
        return np.array([numbers], np.int64)
    gather = _exchange(strategy, replicas.all_gather)
    return gather(tf.constant([numbers], tf.int64)).numpy()


def barrier(strategy):
    """Returns when every worker has called it."""
    all_gather(strategy, [0])


def all_reduce_sum(strategy, array):
    """The sum of each worker's array; every worker must call it."""
    if not is_multi_worker(strategy):
        return array
    return _exchange(strategy, _sum_of_first)(tf.constant(array)).numpy()


def _sum_of_first(array):
    # A worker's array counts once, whatever the number of its devices.
    strategy = tf.distribute.get_strategy()
    is_first = replicas.rank() % len(strategy.extended.worker_devices) == 0
    return replicas.all_reduce_sum(array if is_first else tf.zeros_like(array))


@functools.cache
def _exchange(strategy, function):
    @tf.function
    def exchange(value):
        results = strategy.run(function, (value,))
        return strategy.experimental_local_results(results)[0]

    return exchange


@contextlib.contextmanager
def ending_together(strategy):
    """Ends this process where another worker is lost, with exit status 1.

    The user's own mistake ends it with 2, Ctrl-C with 130. Without the lost worker no
    collective operation ends, those of an orderly exit included; so the process is
    ended at once, after a line that says why.
    """
    try:
        yield
    except BaseException as error:
        if not is_multi_worker(strategy):
            raise
        if isinstance(error, SystemExit):
            raise
        status = 1
        if isinstance(error, LOST):
            print(
                "Error: another worker was lost, so this one ends too. Start all "
                "workers again: they go on from the last checkpoint. TensorFlow says: "
                f"{error.message.splitlines()[0]}",
                file=sys.stderr,
            )
        elif is_of_user(error):
            print(f"Error: {error}", file=sys.stderr)
            status = 2
        elif isinstance(error, KeyboardInterrupt):
            print("Stopped by Ctrl-C.", file=sys.stderr)
            status = 128 + signal.SIGINT
        else:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


# What collective operations raise when a peer is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.CancelledError,
)
