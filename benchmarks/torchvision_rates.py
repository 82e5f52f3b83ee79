"""Wu et al.'s augmentation with torchvision in PyTorch's DataLoader: images a second.

A program of its own, since torchvision does not import beside TensorFlow (both bring an
LLVM). Each line of its input is a JSON list that names what to measure, and is answered
by a line: images by seconds, and by seconds of cores.
"""

import json
import sys
import time

import numpy as np
import psutil
import torch
import torchvision.transforms.v2 as transforms
from PIL import Image

torch.set_num_threads(1)  # For one image at a time, more are no faster.
WARM_UP = 5  # Batches: those that were prepared before.


class Images:
    """Augmented images, uint8 [3, size, size], of files or of uint8 [n, h, w, 3].

    tensors: change tensors, with or without `antialias`, instead of Pillow's images.
    """

    def __init__(self, records, size, tensors=False, antialias=True):
        self.records = records
        changes = [
            transforms.RandomResizedCrop(size, (0.2, 1.0), antialias=antialias),
            transforms.RandomGrayscale(0.2),
            transforms.ColorJitter(0.4, 0.4, 0.4, 0.4),
            transforms.RandomHorizontalFlip(),
        ]
        changes.insert(0 if tensors else len(changes), transforms.PILToTensor())
        self.change = transforms.Compose(changes)

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        record = self.records[index]
        is_file = isinstance(record, str)
        image = (
            Image.open(record).convert("RGB") if is_file else Image.fromarray(record)
        )
        return self.change(image), index


def batches_of(images, batch_size, num_workers):
    """Batches (images, indices) without end."""
    loader = torch.utils.data.DataLoader(
        images,
        batch_size,
        shuffle=True,
        num_workers=num_workers,
        drop_last=True,
        persistent_workers=num_workers > 0,
    )
    while True:
        yield from loader


def rate(batches, count):
    """Images by seconds, and by seconds of cores, of `count` batches."""
    for _ in range(WARM_UP):
        next(batches)
    start, busy = time.perf_counter(), seconds_of_cores()
    images = sum(len(next(batches)[1]) for _ in range(count))
    return images / (time.perf_counter() - start), images / (seconds_of_cores() - busy)


def seconds_of_cores():
    """Seconds that cores have worked for this process and its children so far."""
    process = psutil.Process()
    times = [one.cpu_times() for one in (process, *process.children())]
    return sum(time.user + time.system for time in times)


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    records = {"files": plan["files"], "memory": np.load(plan["memory"])}
    started = {}
    for line in sys.stdin:
        if line not in started:
            name, size, num_workers, options, count = json.loads(line)
            images = Images(records[name], size, **options)
            batches = batches_of(images, plan["batch_size"], num_workers)
            started[line] = batches, count
        print(json.dumps(rate(*started[line])), flush=True)


if __name__ == "__main__":
    main()
