"""Images of different sizes: as a folder of files, and prepared by TFDS."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds


@pytest.fixture(scope="session")
def images():
    """Twenty uint8 images, no two alike."""
    random = np.random.default_rng(0)
    return [
        random.integers(0, 256, (4 + i % 5, 5 + i % 3, 3), dtype=np.uint8)
        for i in range(20)
    ]


@pytest.fixture(scope="session")
def folder(images, tmp_path_factory):
    """A flat folder whose names sort in the order of the images."""
    directory = tmp_path_factory.mktemp("späte images")
    for number, image in enumerate(images):
        (directory / f"{number:02} ü.png").write_bytes(tf.io.encode_png(image).numpy())
    return directory


@pytest.fixture(scope="session")
def tfds_dir(images, tmp_path_factory):
    """A TFDS data_dir with `tiny`: the images in four files, image i of class i % 3."""
    directory = tmp_path_factory.mktemp("tfds")
    examples = [(i, {"image": image, "label": i % 3}) for i, image in enumerate(images)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(encoding_format="png"),
                "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
            }
        ),
        split_datasets={"train": examples},
        data_dir=directory,
        download_config=tfds.download.DownloadConfig(num_shards=4),
    )
    return str(directory)
