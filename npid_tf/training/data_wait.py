"""How long training steps wait for their images."""

import tensorflow as tf


class DataWait:
    """The seconds that the steps have been blocked by a data set that is `watch`ed.

    It is the time from a step's asking for its next batch to having it: none where a
    batch lies ready. What is read ahead meanwhile does not count. On one device only:
    several take their batches from buffers of their own.
    """

    def __init__(self):
        with tf.device("CPU:0"):
            self._seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    def watch(self, dataset):
        """The same data set, measured; to be read as it is, without reading ahead."""

        def note(start, batch):
            self._seconds.assign_add(tf.timestamp() - start)
            return batch

        # `zip` asks one after the other, in the thread of whoever asks, and `note` runs
        # when the batch is there.
        clock = tf.data.Dataset.counter().map(lambda _: tf.timestamp())
        measured = tf.data.Dataset.zip(clock, dataset).map(note)
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        return measured.with_options(options)

    def take(self):
        """The seconds since this was called last."""
        seconds = float(self._seconds.numpy())
        self._seconds.assign(0.0)
        return seconds
