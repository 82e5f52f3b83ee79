"""Time of a whole training step: encoder, loss, gradients, SGD and bank update.

    PYTHONPATH=. python benchmarks/train_step.py

The package beside PyTorch eager with the same ResNet-18 for 32x32 images and the
authors' arithmetic, in PyTorch's default memory layout and channels-last. In float32
and in bfloat16: `--precision=mixed_bfloat16 --bank_dtype=bfloat16`, PyTorch's autocast.
"""

import argparse
import contextlib

import keras
import numpy as np
import tensorflow as tf

import measure
import npid_tf

try:
    import torch

    import lemniscate
except ImportError:
    lemniscate = None

IMAGE_SIZE, DIM, TEMPERATURE = 32, 128, 0.07
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.03, 0.9, 5e-4
LOSSES = ("NCE, per sample", "exact softmax")
FLOAT32, BFLOAT16 = "npid_tf", "npid_tf, bfloat16"
HEADER = ["loss", "library", "width", "ms", "images/s"]
HEADER += [f"x {FLOAT32}", f"x {BFLOAT16}"]
# The memory layout of PyTorch's tensors, and whether it is autocast.
TORCH = {
    "PyTorch, default layout": (False, False),
    "PyTorch, channels-last": (True, False),
    "PyTorch, channels-last, bfloat16": (True, True),
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--num_instances", type=int, default=50000)
    parser.add_argument("--num_negatives", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args(arguments)
    print(f"{measure.machine()}\n\nFloor: {measure.gemm_rate() / 1e9:.0f} GFLOP/s.\n")
    rng = np.random.default_rng(0)
    shape = (arguments.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    indices = rng.permutation(arguments.num_instances)[: arguments.batch_size]
    rows = []
    for width in arguments.width:
        rows += measure_steps(width, images, indices, arguments)
    measure.print_table(HEADER, rows)


def measure_steps(width, images, indices, arguments):
    """The rows of the table for one width."""
    steps = {}
    for loss in LOSSES:
        for library in (FLOAT32, BFLOAT16):
            model = make_model(loss, width, library == BFLOAT16, arguments)
            steps[loss, library] = tensorflow_step(model, images, indices)
        for library, options in TORCH.items():
            steps[loss, library] = None
            if lemniscate is not None:
                steps[loss, library] = torch_step(
                    loss, width, *options, images, indices, arguments
                )
    installed = {key: step for key, step in steps.items() if step is not None}
    seconds = measure.interleaved_medians(installed, arguments.repeats)
    rows = []
    for loss, library in steps:
        row = [loss, library, width]
        if (loss, library) in seconds:
            time = seconds[loss, library]
            row += [f"{1e3 * time:.0f}", f"{len(images) / time:.0f}"]
            row += [f"{time / seconds[loss, ours]:.2f}" for ours in (FLOAT32, BFLOAT16)]
        else:
            row += [measure.NOT_INSTALLED, "", "", ""]
        rows.append(row)
    return rows


def make_model(loss, width, half, arguments):
    """NPID, compiled as `npid_tf.train` compiles it.

    half: with layers of mixed bfloat16, and a bank of bfloat16.
    """
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if half else "float32")
    backbone = npid_tf.build_backbone("resnet18_cifar", IMAGE_SIZE, width=width)
    encoder = npid_tf.build_encoder(backbone, DIM)
    keras.mixed_precision.set_global_policy("float32")
    if loss == "exact softmax":
        instance_loss = npid_tf.NonparametricSoftmax(TEMPERATURE)
    else:
        negatives = npid_tf.PerSampleNegatives(
            arguments.num_instances, arguments.num_negatives
        )
        instance_loss = npid_tf.NCE(negatives, TEMPERATURE)
    row_dtype = "bfloat16" if half else "float32"
    model = npid_tf.NPID(
        encoder,
        npid_tf.MemoryBank(arguments.num_instances, DIM, row_dtype=row_dtype),
        instance_loss,
        weight_decay=WEIGHT_DECAY,
    )
    model.compile(keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM))
    return model


def tensorflow_step(model, images, indices):
    """A call of the step that `fit` runs, on a batch that is in memory."""
    images, indices = tf.constant(images), tf.constant(indices)
    step = tf.function(lambda: model.train_step((images, indices))["loss"])
    return lambda: step().numpy()


def torch_step(loss_name, width, channels_last, half, images, indices, arguments):
    """The same step in PyTorch eager, on images already normalized."""
    autocast = contextlib.nullcontext()
    if half:
        autocast = torch.autocast("cpu", torch.bfloat16)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.from_numpy(images.astype(np.float32) / 127.5 - 1)
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    indices = torch.from_numpy(indices)
    encoder = lemniscate.Encoder(width, DIM).to(memory_format=layout)
    memory = torch.nn.functional.normalize(
        torch.rand(arguments.num_instances, DIM) - 0.5
    )
    if loss_name == "exact softmax":
        loss = lemniscate.make_softmax(memory, TEMPERATURE)
    else:
        loss = lemniscate.make_nce(memory, arguments.num_negatives, TEMPERATURE)
    optimizer = torch.optim.SGD(
        encoder.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY
    )

    def step():
        with autocast:
            embeddings = encoder(images).float()
        value = loss(embeddings, indices)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        lemniscate.update(memory, indices, embeddings.detach())
        return value.item()

    return step


if __name__ == "__main__":
    main()
