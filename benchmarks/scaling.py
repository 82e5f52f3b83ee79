"""Does a step with negatives get slower, or the bank get copied, as the bank grows?

    PYTHONPATH=. python benchmarks/scaling.py

The loss, its gradient and the bank update, at two numbers of instances: time, memory
beyond the bank, and how often TensorFlow traced the step.
"""

import argparse

import tensorflow as tf

import measure
import npid_tf

DIM = 128
HEADER = ["loss", "n", "bank MB", "ms", "x smallest n", "peak MB beyond", "traces"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--num_instances", type=int, nargs="+", default=[50000, 5000000])
    add("--batch_size", type=int, default=128)
    add("--num_negatives", type=int, default=4096)
    add("--repeats", type=int, default=51)
    arguments = parser.parse_args(arguments)
    print(f"{measure.machine()}\n")
    banks = [npid_tf.MemoryBank(n, DIM) for n in arguments.num_instances]
    rows = []
    for loss_name, loss in (("NCE", npid_tf.NCE), ("softmax", npid_tf.SampledSoftmax)):
        for sampler in (npid_tf.SharedNegatives, npid_tf.PerSampleNegatives):
            name = f"{loss_name}, {sampler.__name__}"
            rows += measure_growth(name, loss, sampler, banks, arguments)
    measure.print_table(HEADER, rows)


def measure_growth(name, loss, sampler, banks, arguments):
    """The rows of the table for one loss: the banks take turns."""
    steps = {}
    for bank in banks:
        negatives = sampler(bank.num_instances, arguments.num_negatives)
        steps[bank.num_instances] = Step(loss(negatives), bank, arguments.batch_size)
    seconds = measure.interleaved_medians(steps, arguments.repeats)
    rows = []
    for bank in banks:
        n = bank.num_instances
        rows.append(
            [
                name,
                n,
                f"{4e-6 * n * DIM:.0f}",
                f"{1e3 * seconds[n]:.1f}",
                f"{seconds[n] / seconds[banks[0].num_instances]:.2f}",
                f"{measure.peak_memory(steps[n]) / 1e6:.0f}",
                steps[n].traces,
            ]
        )
    return rows


class Step:
    """Loss, gradient and bank update of one batch after another, as in training."""

    def __init__(self, loss, bank, batch_size):
        self.loss = loss
        self.bank = bank
        self.batch_size = batch_size
        self.number = 0
        self.traces = 0
        self.traced = tf.function(self._run)

    def __call__(self):
        self.number += 1
        seed = tf.constant([0, self.number], tf.int64)
        return self.traced(seed).numpy()

    def _run(self, seed):
        self.traces += 1  # Python runs this only while TensorFlow traces.
        embeddings = tf.random.stateless_normal([self.batch_size, DIM], seed)
        embeddings = tf.math.l2_normalize(embeddings, axis=1)
        start = tf.random.stateless_uniform([], seed, 0, 1000, tf.int64)
        stride = self.bank.num_instances // (self.batch_size + 1000)
        indices = (start + tf.range(self.batch_size, dtype=tf.int64)) * stride
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            losses = self.loss(embeddings, indices, bank=self.bank, seed=seed)
        gradient = tape.gradient(losses, embeddings)
        self.bank.update(indices, embeddings)
        return tf.reduce_sum(gradient)


if __name__ == "__main__":
    main()
