"""What all tests share: two logical CPU devices, CIFAR-10 if there, a tiny run."""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pytest
import tensorflow as tf
from absl import logging

from npid_tf.runs.export import ExportFlags, export
from npid_tf.runs.train import train
from npid_tf.runs.train_flags import TrainFlags

# Before anything else touches the devices: strategies are tested on two of them.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

pytest_plugins = ["tests.support.servers"]
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def float32_and_fixed_seeds():
    """Every test starts in float32, with the same seeds and no leftover graphs."""
    keras.utils.set_random_seed(0)
    yield
    keras.mixed_precision.set_global_policy("float32")
    keras.utils.clear_session(free_memory=False)


@pytest.fixture
def cifar10_dir():
    """TFDS data_dir that holds CIFAR-10 (beside the repository, or TFDS_DATA_DIR)."""
    directory = os.environ.get("TFDS_DATA_DIR", REPOSITORY.parent / "shared" / "tfds")
    if not os.path.isdir(os.path.join(directory, "cifar10")):
        pytest.skip(f"CIFAR-10 is not prepared in {directory}")
    return str(directory)


@pytest.fixture(scope="session")
def trained_workdir(tmp_path_factory):
    """The flags of a tiny run on 256 digits, trained for an epoch."""
    config = TrainFlags(
        workdir=str(tmp_path_factory.mktemp("run") / "digits"),
        split="train[:256]",
        image_size=8,
        augmentation="none",
        width=4,
        embedding_dim=16,
        epochs=1,
        batch_size=64,
        k=(5, 10),
    )
    train(config)
    return config


@pytest.fixture(scope="session")
def exported(trained_workdir, tmp_path_factory):
    """The `ExportFlags` that run was exported with. Copy what you change."""
    directory = str(tmp_path_factory.mktemp("exported") / "it")
    flags = ExportFlags(export_dir=directory, k=(5, 10))
    export(trained_workdir, flags)
    return flags


@pytest.fixture(scope="session")
def milvus_lite():
    """Skips a test where the extra `milvus` is missing."""
    # pymilvus closes all handlers of logging, and absl's then its stream: the stderr
    # that pytest had put there when absl was imported, and still needs.
    logging.get_absl_handler().python_handler.stream = sys.__stderr__
    for name in ("pymilvus", "milvus_lite"):
        pytest.importorskip(name, reason="The extra is missing: npid_tf[milvus]")
