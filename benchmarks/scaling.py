"""Does a step with negatives get slower, or the bank get copied, as the bank grows?

    PYTHONPATH=. python benchmarks/scaling.py

The loss, its gradient and the bank update, alone and as the part that they are of a
training step (ResNet-18 of width 16, images of 32x32), at two numbers of instances:
time, memory beyond the bank, and how often TensorFlow traced the step.
"""

import argparse

import keras
import tensorflow as tf

import measure
import npid_tf

DIM, IMAGE_SIZE = 128, 32
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
            rows += measure_growth(name, Step, loss, sampler, banks, arguments)
            name += ", training step"
            rows += measure_growth(name, TrainingStep, loss, sampler, banks, arguments)
    measure.print_table(HEADER, rows)


def measure_growth(name, make_step, loss, sampler, banks, arguments):
    """The rows of the table for one loss: the banks take turns."""
    steps = {}
    for bank in banks:
        negatives = sampler(bank.num_instances, arguments.num_negatives)
        step = make_step(loss(negatives), bank, arguments.batch_size)
        steps[bank.num_instances] = step
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
        return self.traced(tf.constant([0, self.number], tf.int64)).numpy()

    def _run(self, seed):
        self.traces += 1  # Python runs this only while TensorFlow traces.
        start = tf.random.stateless_uniform([], seed, 0, 1000, tf.int64)
        stride = self.bank.num_instances // (self.batch_size + 1000)
        indices = (start + tf.range(self.batch_size, dtype=tf.int64)) * stride
        return self.train(indices, seed)

    def train(self, indices, seed):
        embeddings = tf.random.stateless_normal([self.batch_size, DIM], seed)
        embeddings = tf.math.l2_normalize(embeddings, axis=1)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            losses = self.loss(embeddings, indices, bank=self.bank, seed=seed)
        gradient = tape.gradient(losses, embeddings)
        self.bank.update(indices, embeddings)
        return tf.reduce_sum(gradient) + tf.reduce_sum(losses)


class TrainingStep(Step):
    """The step that `fit` runs, of an encoder as well."""

    def __init__(self, loss, bank, batch_size):
        super().__init__(loss, bank, batch_size)
        backbone = npid_tf.build_backbone("resnet18_cifar", IMAGE_SIZE, width=16)
        encoder = npid_tf.build_encoder(backbone, DIM)
        self.model = npid_tf.NPID(encoder, bank, loss)
        self.model.compile(keras.optimizers.SGD(0.03, momentum=0.9))
        shape = [batch_size, IMAGE_SIZE, IMAGE_SIZE, 3]
        self.images = tf.random.uniform(shape, 0, 256, tf.int32, seed=0)
        self.images = tf.cast(self.images, tf.uint8)

    def train(self, indices, seed):
        return self.model.train_step((self.images, indices))["loss"]


if __name__ == "__main__":
    main()
