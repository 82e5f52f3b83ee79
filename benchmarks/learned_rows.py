"""Does a step of the instance classifier's rows get slower as the images grow?

    PYTHONPATH=. python benchmarks/learned_rows.py --plot=learned_rows.png

The loss, its gradient and the step of SGD on the rows, for random unit embeddings, on
four logical CPU devices: compared with all rows, and with those visited last.
"""

import argparse
import gc

import numpy as np
import tensorflow as tf

import measure
from npid_tf import InstanceCrossEntropy, LearnedRows, RecentRows
from sharded_bank import peak, strategy_on

HEADER = ["compared with", "n", "MB of rows and velocities", "ms", "x smallest n"]
HEADER += ["peak memory of the process so far"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--num_instances", type=int, nargs="+", default=[50_000, 500_000, 5_000_000])
    add("--num_recent", type=int, default=65_536)
    add("--batch_size", type=int, default=128)
    add("--dim", type=int, default=128)
    add("--devices", type=int, default=4)
    add("--steps", type=int, default=5)
    add("--plot", help="write the times to this image file")
    args = parser.parse_args(arguments)
    print(f"{measure.machine()}\n")
    strategy = strategy_on(args.devices)
    rows, seconds = [], {}
    for n in sorted(args.num_instances):  # The peak is that of the largest so far.
        for name, make in (
            ("all rows", lambda n: LearnedRows(n, args.dim)),
            (
                f"the last {args.num_recent:,}",
                lambda n: RecentRows(n, args.dim, min(n, args.num_recent)),
            ),
        ):
            with strategy.scope():
                bank = make(n)
            times = seconds.setdefault(name, {})
            times[n] = median_step(strategy, bank, args)
            first = times[min(times)]
            megabytes = f"{8e-6 * n * args.dim:,.0f}"
            milliseconds, ratio = f"{1e3 * times[n]:.1f}", f"{times[n] / first:.2f}"
            rows.append((name, f"{n:,}", megabytes, milliseconds, ratio, peak()))
            del bank
            gc.collect()
    measure.print_table(HEADER, rows)
    if args.plot:
        plot(seconds, args)


def median_step(strategy, bank, args):
    """The median seconds of a step, each of other images, after one that traces."""
    loss = InstanceCrossEntropy()
    part = args.batch_size // args.devices
    rng = np.random.default_rng(0)

    def replica(seed, indices):
        rank = tf.distribute.get_replica_context().replica_id_in_sync_group
        mine = indices[rank * part : (rank + 1) * part]
        embeddings = tf.random.stateless_normal([part, args.dim], [seed, rank])
        embeddings = tf.math.l2_normalize(embeddings, axis=1)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            losses = loss(embeddings, mine, bank=bank)
        gradient = tape.gradient(losses, embeddings)
        loss.descend(bank, embeddings, mine, losses, tf.constant(0.1))
        return tf.reduce_sum(gradient)

    @tf.function
    def step(seed, indices):
        return strategy.run(replica, (seed, indices))

    def run():
        indices = rng.choice(bank.num_instances, args.batch_size, replace=False)
        seed = tf.constant(int(rng.integers(1 << 30)))
        result = step(seed, tf.constant(indices))
        for value in strategy.experimental_local_results(result):
            assert np.isfinite(value.numpy())

    return measure.median_seconds(run, args.steps)


def plot(seconds, args):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for name, times in seconds.items():
        axes.loglog(list(times), [1e3 * t for t in times.values()], "o-", label=name)
    axes.set(
        xlabel="images, n",
        ylabel="ms",
        title=f"A step of the rows, batch {args.batch_size}, d {args.dim}, "
        f"{args.devices} devices",
    )
    axes.grid(alpha=0.3)
    axes.legend(title="compared with")
    figure.savefig(args.plot)


if __name__ == "__main__":
    main()
