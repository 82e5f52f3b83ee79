"""Image embeddings without labels: NPID in TensorFlow and Keras 3."""

import os

# Both are read when the libraries are first imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "npid_tf needs Keras on TensorFlow. Received: the Keras backend "
        f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow."
    )

from npid_tf.backbones import build_backbone
from npid_tf.banks.learned_rows import LearnedRows
from npid_tf.banks.memory_bank import MemoryBank
from npid_tf.banks.recent_rows import RecentRows
from npid_tf.banks.refresh_neighbors import RefreshNeighbors
from npid_tf.banks.sharded_bank import ShardedMemoryBank
from npid_tf.encoders.encoder import build_encoder
from npid_tf.files.version import __version__
from npid_tf.instance_classifier import InstanceClassifier
from npid_tf.losses import (
    NCE,
    InstanceCrossEntropy,
    NonparametricSoftmax,
    PerSampleNegatives,
    SampledSoftmax,
    SharedNegatives,
)
from npid_tf.npid import NPID
from npid_tf.training.callbacks import KNNEvaluation, StopOnNonFiniteLoss
from npid_tf.training.initialization import initialize_by_forward_pass

__all__ = [
    "NCE",
    "NPID",
    "InstanceClassifier",
    "InstanceCrossEntropy",
    "KNNEvaluation",
    "LearnedRows",
    "MemoryBank",
    "NonparametricSoftmax",
    "PerSampleNegatives",
    "RecentRows",
    "RefreshNeighbors",
    "SampledSoftmax",
    "ShardedMemoryBank",
    "SharedNegatives",
    "StopOnNonFiniteLoss",
    "__version__",
    "build_backbone",
    "build_encoder",
    "initialize_by_forward_pass",
]
