"""Images a second from files to augmented batches, beside torchvision.

    python benchmarks/input_pipeline.py [--data_dir=DIR of TFDS with cifar10]

The augmentation is Wu et al.'s (`--augmentation=npid`): a random resized crop (0.2-1)
to 224x224, grey (0.2), jitter (0.4, 0.4, 0.4, 0.4), flip; then the same of 32x32 images
in memory. All read the same images and give uint8 batches. Per core are images by the
seconds that all cores together worked for a contender's processes.

What differs: torchvision changes brightness, contrast, saturation and hue in a random
order, and clips after each. With antialias, it averages the pixels that a smaller image
leaves out; this package interpolates between two of them.
"""

import argparse
import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

import measure
from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.pipeline import make_train_dataset
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.tfds import load_tfds

WIDTH, HEIGHT, SIZE = 500, 375, 224
WARM_UP = 5  # Batches: those that were prepared before the turn.
HEADER = ("", "images/s", "images/s per core", "per core, npid_tf : this")
# Of torchvision_rates.py: records, size, worker processes, options of `Images`.
FILES = {
    "torchvision, Pillow": ("files", SIZE, 0, {}),
    "torchvision, Pillow, 2 worker processes": ("files", SIZE, 2, {}),
    "torchvision, tensors": ("files", SIZE, 0, {"tensors": True}),
    "torchvision, tensors, antialias=False": (
        *("files", SIZE, 0),
        {"tensors": True, "antialias": False},
    ),
}
IN_MEMORY = {
    "torchvision, Pillow, 32x32": ("memory", 32, 0, {}),
    "torchvision, Pillow, 32x32, 2 worker processes": ("memory", 32, 2, {}),
    "torchvision, tensors, 32x32": ("memory", 32, 0, {"tensors": True}),
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", help="of TFDS, to make the images from CIFAR-10")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--batch_size", type=int, default=50)
    parser.add_argument("--batches", type=int, default=4, help="of files, a turn")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        small = small_images(options.images, options.data_dir)
        size = write_jpegs(os.path.join(directory, "jpegs"), small)
        files = load_folder(os.path.join(directory, "jpegs"))
        torchvision = start_torchvision(directory, files.paths, small, options)
        in_turns = functools.partial(compare, torchvision=torchvision, options=options)
        rows = [
            *in_turns("npid_tf", files, SIZE, kinds=FILES, batches=options.batches),
            *in_turns(
                "npid_tf, 32x32",
                *(from_arrays(small), 32),
                kinds=IN_MEMORY,
                batches=20 * options.batches,
            ),
        ]
        if torchvision:
            torchvision.communicate()  # Closes its input, which ends it.
    print(
        f"{measure.machine()}; JPEGs of {WIDTH}x{HEIGHT}, {size / 1000:.0f} kB each\n"
    )
    measure.print_table(HEADER, rows)
    return rows


def small_images(count, data_dir):
    """uint8 [count, 32, 32, 3]: of CIFAR-10's test images, or smooth noise."""
    if data_dir:
        source = load_tfds("cifar10", f"test[:{count}]", data_dir)
        return source.read(tf.range(count)).numpy()
    noise = np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3), np.uint8)
    return tf.saturate_cast(tf.image.resize(noise, [32, 32]), tf.uint8).numpy()


def write_jpegs(directory, small):
    """Enlarges images and adds texture. Returns the mean bytes of their files.

    Photographs have detail of all sizes; without it the files are a tenth as large.
    """
    os.mkdir(directory)
    random = np.random.default_rng(0)
    sizes = []
    for number, image in enumerate(small):
        image = tf.image.resize(image, [HEIGHT, WIDTH], "bicubic")
        for scale in (1, 2, 4, 8):
            noise = random.normal(size=(HEIGHT // scale, WIDTH // scale, 1))
            noise = tf.image.resize(noise, [HEIGHT, WIDTH], "bicubic")
            image += 9 * scale**0.5 * noise
        jpeg = tf.io.encode_jpeg(tf.saturate_cast(image, tf.uint8), quality=90).numpy()
        sizes.append(len(jpeg))
        with open(os.path.join(directory, f"{number:05}.jpg"), "wb") as file:
            file.write(jpeg)
    return statistics.mean(sizes)


def start_torchvision(directory, paths, small, options):
    """The process of torchvision_rates.py, or None where a library is missing."""
    if not all(map(importlib.util.find_spec, ("psutil", "torch", "torchvision"))):
        return None
    plan = {
        "files": paths,
        "memory": os.path.join(directory, "small.npy"),
        "batch_size": options.batch_size,
    }
    np.save(plan["memory"], small)
    with open(os.path.join(directory, "plan.json"), "w") as file:
        json.dump(plan, file)
    program = os.path.join(os.path.dirname(__file__), "torchvision_rates.py")
    return subprocess.Popen(
        [sys.executable, program, file.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def compare(name, source, size, torchvision, kinds, batches, options):
    """Rows of the table: this package, then each kind of torchvision, in turns."""
    rates = {name: []} | {kind: [] for kind in kinds}
    for _ in range(options.repeats):
        rates[name].append(rate(source, size, batches, options.batch_size))
        if torchvision:
            for kind, what in kinds.items():
                request = json.dumps([*what, batches])
                print(request, file=torchvision.stdin, flush=True)
                rates[kind].append(json.loads(torchvision.stdout.readline()))
    rows = []
    for contender in rates:
        if rates[contender]:
            medians = np.median(rates[contender], axis=0)
            ratio = np.median(rates[name], axis=0)[1] / medians[1]
            rows.append((contender, *(f"{x:,.0f}" for x in medians), f"{ratio:.2f}"))
        else:
            rows.append((contender, measure.NOT_INSTALLED, "", ""))
    return rows


def rate(source, size, count, batch_size):
    """Images by seconds, and by seconds of cores, of `count` batches."""
    dataset = make_train_dataset(
        source, build_augmentation("npid"), size, batch_size, seed=0, num_epochs=10**6
    )
    batches = iter(dataset)
    for _ in range(WARM_UP):
        next(batches)
    start, busy = time.perf_counter(), time.process_time()
    images = sum(len(next(batches)[1]) for _ in range(count))
    return images / (time.perf_counter() - start), images / (time.process_time() - busy)


if __name__ == "__main__":
    main()
