"""torchvision-shaped weights and images, made alike with PyTorch and without it."""

import sys

import numpy as np
import pytest

# Side of the images. Where a network ends in fully connected layers, the recorded one
# takes maps of 2 x 2 (see record.py), which keeps it small.
IMAGE_SIZES = {"resnet18": 64, "resnet50": 64, "alexnet": 95, "vgg16": 64}


def make_arrays(shapes):
    """Weights that keep the scale of what goes through, and uneven batch norms.

    shapes: {name: shape}, in torchvision's order. Returns {name: float32 array}.
    """
    generator = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes.items():
        values = generator.random(shape, np.float32)
        if len(shape) > 1:  # Uniform with the variance 2 / inputs.
            values = (2 * values - 1) * np.float32((6 / np.prod(shape[1:])) ** 0.5)
        elif name.endswith(("running_var", "weight")):
            values += 0.5
        else:
            values = (values - 0.5) / 5
        arrays[name] = values
    return arrays


def make_images(size):
    """uint8 [1, size, size, 3]."""
    return np.random.default_rng(1).integers(0, 256, (1, size, size, 3), np.uint8)


def import_beside_tensorflow(name):
    """PyTorch or torchvision; skips the test where it is not installed."""
    # PyTorch imports Triton, which ends a process where TensorFlow was imported before.
    sys.modules.setdefault("triton", None)
    return pytest.importorskip(name, reason=f"{name} is not installed")
