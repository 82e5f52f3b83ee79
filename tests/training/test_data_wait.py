"""The time that steps wait for images, and not that of reading ahead."""

import time

import tensorflow as tf

from npid_tf.training.data_wait import DataWait


def slow(seconds):
    """Six batches that take so long to make, read ahead."""

    def with_pause(number):
        pause = tf.py_function(lambda: time.sleep(seconds), [], [])
        with tf.control_dependencies([pause]):
            return tf.identity(number), number

    return tf.data.Dataset.range(6).map(with_pause).prefetch(2)


def test_slow_data_are_waited_for():
    wait = DataWait()
    start = time.perf_counter()
    numbers = [int(number) for number, _ in wait.watch(slow(0.03))]
    assert numbers == list(range(6))
    seconds = time.perf_counter() - start
    assert 5 * 0.03 < wait.take() <= seconds
    assert wait.take() == 0


def test_data_that_lie_ready_are_not():
    wait = DataWait()
    batches = iter(wait.watch(slow(0.005)))
    next(batches)
    time.sleep(0.1)
    wait.take()
    start = time.perf_counter()
    for _ in range(5):
        time.sleep(0.03)
        next(batches)
    assert wait.take() < (time.perf_counter() - start) / 2


def test_a_step_that_takes_its_batch_in_a_graph_is_measured():
    wait = DataWait()

    @tf.function
    def step(batches):
        return next(batches)[0] * 2

    batches = iter(wait.watch(slow(0.03)))
    assert [int(step(batches)) for _ in range(6)] == [0, 2, 4, 6, 8, 10]
    assert wait.take() > 5 * 0.03
