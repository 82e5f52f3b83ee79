"""Time and memory of the losses: forward and backward to the embeddings.

    PYTHONPATH=. python benchmarks/losses.py

Every loss of the package, the value and its gradient, beside the authors' arithmetic in
PyTorch and the floor: the two matrix products that each needs, alone.
"""

import argparse
import functools

import tensorflow as tf

import measure
import npid_tf
from npid_tf.losses.one_pass import CHUNKS_AT_ONCE, chunk_size

try:
    import torch

    import lemniscate
except ImportError:
    lemniscate = None

DIM = 128
TEMPERATURE = 0.07
HEADER = ["loss", "library", "n", "batch", "m", "ms", "peak MB", "x exact one-pass"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--num_instances", type=int, nargs="+", default=[50000, 1281167]
    )
    parser.add_argument("--batch_size", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--num_negatives", type=int, nargs="+", default=[4096, 65536])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max_gigabytes", type=float, default=6.0)
    arguments = parser.parse_args(arguments)
    print(f"{measure.machine()}\n")
    print(
        f"Floor: {measure.gemm_rate() / 1e9:.0f} GFLOP/s (float32 matrix product), "
        f"{measure.memory_bandwidth() / 1e9:.1f} GB/s (copy).\n"
    )
    rows = []
    for num_instances in arguments.num_instances:
        bank = npid_tf.MemoryBank(num_instances, DIM)
        half = npid_tf.MemoryBank(num_instances, DIM, row_dtype="bfloat16")
        for batch_size in arguments.batch_size:
            rows += measure_losses(bank, half, batch_size, arguments)
    measure.print_table(HEADER, rows)


def measure_losses(bank, half, batch_size, arguments):
    """The rows of the table for one bank, also in bfloat16, and one batch size."""
    indices = tf.range(batch_size, dtype=tf.int64) * 3 % bank.num_instances
    embeddings = tf.math.l2_normalize(
        tf.random.stateless_normal([batch_size, DIM], [0, 1]), axis=1
    )
    for each in (bank, half):  # As in training: copies on dense reads from now.
        each.update(indices, embeddings)
    exact = npid_tf.NonparametricSoftmax(TEMPERATURE)

    def of_half(loss):
        return lambda embeddings, indices, bank, seed: loss(
            embeddings, indices, bank=half, seed=seed
        )

    pair = chunk_size(batch_size, bank.num_instances)
    name = f"two products, {pair} rows at a time"
    contenders = [
        (name, "floor", None, products(bank, pair)),
        (f"{name}, bfloat16", "floor", None, products(half, pair)),
        ("two products, dense", "floor", None, products(bank, bank.num_instances)),
        ("exact, one-pass", "npid_tf", None, exact),
        ("exact, one-pass, bfloat16 rows", "npid_tf", None, of_half(exact)),
        ("exact, dense", "TensorFlow", None, dense_softmax),
    ]
    samplers = {
        "shared": npid_tf.SharedNegatives,
        "per sample": npid_tf.PerSampleNegatives,
    }
    losses = {"NCE": npid_tf.NCE, "sampled softmax": npid_tf.SampledSoftmax}
    counts = [m for m in arguments.num_negatives if m < bank.num_instances]
    for m in counts:
        shared = samplers["shared"](bank.num_instances, m)
        row = ("shared negatives, gather and two products", "floor", m)
        contenders.append((*row, functools.partial(sum_of_scores, shared)))
        row = ("the same, bfloat16", "floor", m)
        contenders.append((*row, of_half(functools.partial(sum_of_scores, shared))))
        for loss_name, loss in losses.items():
            for name, sampler in samplers.items():
                ours = loss(sampler(bank.num_instances, m), TEMPERATURE)
                row = (f"{loss_name}, {name}", "npid_tf", m)
                contenders.append((*row, ours))
                ours = loss(sampler(bank.num_instances, m), TEMPERATURE)
                row = (f"{loss_name}, {name}, bfloat16 rows", "npid_tf", m)
                contenders.append((*row, of_half(ours)))
    functions = {
        tuple(key): tensorflow_step(loss, bank, embeddings, indices)
        for *key, loss in contenders
    }
    functions["bank update", "npid_tf", None] = bank_update(bank, embeddings, indices)
    functions |= torch_functions(bank, embeddings, indices, counts)
    limit = arguments.max_gigabytes * 1e9
    kept = {
        key: function
        for key, function in functions.items()
        if function and needed_bytes(key, bank.num_instances, batch_size) <= limit
    }
    seconds = measure.interleaved_medians(kept, arguments.repeats)
    unit = seconds["exact, one-pass", "npid_tf", None]
    rows = []
    for key, function in functions.items():
        name, library, m = key
        row = [name, library, bank.num_instances, batch_size, m or ""]
        if function is None:
            row += [measure.NOT_INSTALLED, "", ""]
        elif key not in kept:
            needed = needed_bytes(key, bank.num_instances, batch_size) / 1e9
            row += [f"skipped: would take {needed:.1f} GB", "", ""]
        else:
            peak = measure.peak_memory(function)
            row += [
                f"{1e3 * seconds[key]:.2f}",
                f"{peak / 1e6:.0f}",
                f"{seconds[key] / unit:.3f}",
            ]
        rows.append(row)
    return rows


def needed_bytes(key, num_instances, batch_size):
    """An estimate, to leave out what the machine cannot hold."""
    name, library, m = key
    if "dense" in name:
        return 4 * 4 * batch_size * num_instances  # logits, exp, their gradients
    if library == "PyTorch" and m:
        return 4 * batch_size * (m + 1) * DIM
    return 0


def tensorflow_step(loss, bank, embeddings, indices):
    """A call of the loss and of its gradient; it returns the gradient."""
    seed = tf.constant([0, 1], tf.int64)

    @tf.function
    def step(embeddings, indices):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            losses = loss(embeddings, indices, bank=bank, seed=seed)
        # The mean is asked for too, or the graph would leave it out.
        return tape.gradient(losses, embeddings), tf.reduce_mean(losses)

    return lambda: step(embeddings, indices)[0].numpy()


def dense_softmax(embeddings, indices, bank, seed):
    """All logits at once."""
    logits = tf.matmul(embeddings, bank.vectors.value, transpose_b=True) / TEMPERATURE
    return tf.nn.sparse_softmax_cross_entropy_with_logits(indices, logits)


def products(bank, chunk):
    """The two matrix products of the exact softmax and nothing else, as a loss whose
    gradient is their result. The rows of a chunk are the same every time."""
    rows = bank.reader(bank.row_dtype)(tf.range(chunk))
    num_chunks = bank.num_instances // chunk

    @tf.custom_gradient
    def loss(embeddings):
        queries = tf.cast(embeddings, rows.dtype)

        def pair_of_products(rows):
            scores = tf.matmul(queries, rows, transpose_b=True)
            return tf.cast(tf.matmul(scores, rows), tf.float32)

        def add_products(number, result):
            return number + 1, result + pair_of_products(rows)

        _, result = tf.while_loop(
            lambda number, _: number < num_chunks,
            add_products,
            (0, tf.zeros_like(embeddings)),
            parallel_iterations=CHUNKS_AT_ONCE,
        )
        result += pair_of_products(rows[: bank.num_instances % chunk])
        return result[:, 0], lambda upstream: upstream[:, None] * result

    return lambda embeddings, indices, bank, seed: loss(embeddings)


def sum_of_scores(negatives, embeddings, indices, bank, seed):
    """A loss that takes what every loss of shared negatives must, and no more."""
    sum_over, _ = negatives.draw(embeddings, indices, bank, seed)
    return sum_over(lambda scores: (scores, scores))


def bank_update(bank, embeddings, indices):
    step = tf.function(lambda: bank.update(indices, embeddings))
    return lambda: (step(), bank.lookup(indices[:1]).numpy())


def torch_functions(bank, embeddings, indices, counts):
    """The same table of functions, None where PyTorch is missing."""
    names = [("exact, dense", None), ("bank update", None)]
    for m in counts:
        names += [("NCE, per sample", m), ("sampled softmax, per sample", m)]
    if lemniscate is None:
        return {(name, "PyTorch", m): None for name, m in names}
    memory = torch.from_numpy(bank.vectors.numpy())
    inputs = torch.from_numpy(embeddings.numpy()).requires_grad_()
    rows = torch.from_numpy(indices.numpy())
    makers = {
        "NCE, per sample": lemniscate.make_nce,
        "sampled softmax, per sample": lemniscate.make_sampled_softmax,
    }

    def step(loss):
        return lambda: torch.autograd.grad(loss(inputs, rows), inputs)[0].numpy()

    functions = {}
    for name, m in names:
        if name == "bank update":
            function = functools.partial(
                lemniscate.update, memory, rows, inputs.detach()
            )
        elif m is None:
            function = step(lemniscate.make_softmax(memory))
        else:
            function = step(makers[name](memory, m))
        functions[name, "PyTorch", m] = function
    return functions


if __name__ == "__main__":
    main()
