"""What all tests share: two logical CPU devices, CIFAR-10 if there, a tiny run."""

import dataclasses
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pytest
import tensorflow as tf
from absl import flags, logging
from absl.testing import flagsaver

from npid_tf.export import export
from npid_tf.runs.command_line import config_from_flags, define_flags
from npid_tf.runs.config import Config
from npid_tf.train import train

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
    """The Config of a tiny run on 256 digits, trained for an epoch."""
    config = Config(
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
    """The Config of that run, exported to its export_dir. Copy what you change."""
    directory = tmp_path_factory.mktemp("exported")
    config = dataclasses.replace(trained_workdir, export_dir=str(directory / "it"))
    export(config)
    return config


@pytest.fixture(scope="session")
def milvus_lite():
    """Skips a test where the extra `milvus` is missing."""
    # pymilvus closes all handlers of logging, and absl's then its stream: the stderr
    # that pytest had put there when absl was imported, and still needs.
    logging.get_absl_handler().python_handler.stream = sys.__stderr__
    for name in ("pymilvus", "milvus_lite"):
        pytest.importorskip(name, reason="The extra is missing: npid_tf[milvus]")


@pytest.fixture
def no_flags():
    """Leaves no flags behind, so that they can be defined again."""
    yield
    for field in dataclasses.fields(Config):
        delattr(flags.FLAGS, field.name)


@pytest.fixture
def parse(no_flags):
    """Parses command-line arguments to a Config, as every program does."""
    define_flags()

    def parse_arguments(*arguments):
        with flagsaver.flagsaver():
            flags.FLAGS(["program", *arguments])
            return config_from_flags()

    return parse_arguments
