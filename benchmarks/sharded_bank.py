"""Trains a few steps with a bank that is spread over the devices of one machine.

`python benchmarks/sharded_bank.py`: 20 million rows of 128 in bfloat16 on four logical
CPU devices. Prints the memory of each device's rows and of the process, and the seconds
of a step.
"""

import argparse
import resource
import time

import keras
import numpy as np
import tensorflow as tf

from measure import machine, print_table
from npid_tf import (
    NCE,
    NPID,
    NonparametricSoftmax,
    ShardedMemoryBank,
    SharedNegatives,
    build_encoder,
)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_instances", type=int, default=20_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--row_dtype", default="bfloat16")
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args(arguments)
    print(f"{machine()}\n")
    strategy = strategy_on(args.devices)
    rows = []
    start = time.perf_counter()
    with strategy.scope():
        bank = ShardedMemoryBank(
            args.num_instances, args.dim, initializer="normal", row_dtype=args.row_dtype
        )
    held = [variable.shape[0] for _, _, variable in bank.rows.parts()]
    row_bytes = args.dim * tf.as_dtype(args.row_dtype).size
    rows.append(("making the bank", f"{time.perf_counter() - start:.1f} s", peak()))
    for loss in (
        NCE(SharedNegatives(args.num_instances, 4096)),
        NonparametricSoftmax(),
    ):
        with strategy.scope():
            model = build_model(bank, type(loss).from_config(loss.get_config()))
        seconds, losses = train(model, args)
        assert np.isfinite(losses).all()
        rows.append((f"step, {loss.name}", f"{seconds:.2f} s", peak()))
    print_table(("what", "median", "peak memory of the process so far"), rows)
    print(
        f"\n{args.num_instances:,} rows of {args.dim} {args.row_dtype} on "
        f"{args.devices} devices: {', '.join(f'{count:,}' for count in held)} rows "
        f"each, {max(held) * row_bytes / 1e9:.2f} GB."
    )
    return held


def strategy_on(count):
    """Logical CPU devices, where TensorFlow has not been used yet."""
    if count == 1:
        return tf.distribute.get_strategy()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * count,
    )
    return tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(count)])


def build_model(bank, loss):
    inputs = keras.Input([8, 8, 3])
    backbone = keras.Model(inputs, keras.layers.Flatten()(inputs))
    model = NPID(build_encoder(backbone, bank.embedding_dim), bank, loss)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def train(model, args):
    """The median seconds of a step after the first, and the losses."""
    rng = np.random.default_rng(0)
    size = args.batch_size
    images = rng.integers(0, 256, [size, 8, 8, 3], np.uint8)
    seconds, losses = [], []
    indices = rng.integers(0, args.num_instances, [args.steps + 1, size])
    dataset = tf.data.Dataset.from_tensor_slices(indices).map(lambda i: (images, i))

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            losses.append(float(logs["loss"]))
            seconds.append(time.perf_counter() - self.start)

    model.fit(dataset, callbacks=[Clock()], shuffle=False, verbose=0)
    return np.median(seconds[1:]), losses


def peak():
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{kilobytes / 1e6:.1f} GB"


if __name__ == "__main__":
    main()
