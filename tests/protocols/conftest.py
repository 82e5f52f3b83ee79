"""Labelled images of which every encoder tells the classes apart: their colours."""

import dataclasses

import numpy as np
import pytest


@pytest.fixture(scope="session")
def colors(tmp_path_factory):
    """Two npz files, 60 images to learn from and 30 to judge by, in three classes."""
    directory = tmp_path_factory.mktemp("colors")
    random = np.random.default_rng(0)
    paths = []
    for name, count in (("learn", 60), ("judge", 30)):
        labels = np.arange(count) % 3
        images = random.integers(0, 8, [count, 8, 8, 3])
        images[np.arange(count), :, :, labels] += 240
        targets = np.zeros([count, 3], int)
        targets[np.arange(count), labels] = 1
        for kind, values in (("labels", labels), ("targets", targets)):
            path = directory / f"{name}_{kind}.npz"
            np.savez(path, images=images.astype(np.uint8), **{kind: values})
            paths.append(str(path))
    return paths


@pytest.fixture
def color_config(trained_workdir, colors):
    """The flags of the tiny run, to be evaluated on the colours."""
    _, _, judge, _ = colors
    return dataclasses.replace(trained_workdir, eval_dataset=f"npz:{judge}")


@pytest.fixture
def learn_colors(colors):
    """The flag of a protocol that learns from them."""
    return {"labelled_dataset": f"npz:{colors[0]}"}


@pytest.fixture
def several_classes_config(trained_workdir, colors):
    """The same with `targets` instead of labels."""
    _, _, _, judge = colors
    return dataclasses.replace(trained_workdir, eval_dataset=f"npz:{judge}")


@pytest.fixture
def learn_several_classes(colors):
    """The flag of a protocol that learns from those."""
    return {"labelled_dataset": f"npz:{colors[1]}"}
