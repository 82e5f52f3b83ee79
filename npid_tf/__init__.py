"""Image embeddings without labels: NPID in TensorFlow and Keras 3.

The public names are imported when they are first used: `import npid_tf` alone, the
client of a server and the search on one machine load neither TensorFlow nor Keras.
To add a name: a line among the imports for editors, and one in `_HOMES`.
"""

import importlib
import os
import sys
import types
from typing import TYPE_CHECKING

from npid_tf.files.version import __version__
from npid_tf.keras_calls.registration import when_keras_is_loaded

if TYPE_CHECKING:
    from npid_tf.backbones import build_backbone
    from npid_tf.banks.learned_rows import LearnedRows
    from npid_tf.banks.memory_bank import MemoryBank, ShardedMemoryBank
    from npid_tf.banks.recent_rows import RecentRows
    from npid_tf.banks.refresh_neighbors import RefreshNeighbors
    from npid_tf.client import Client
    from npid_tf.data.augmentation.augment import build_augmentation
    from npid_tf.data.augmentation.layer import Augmentation
    from npid_tf.encoders.embed import embed
    from npid_tf.encoders.encoder import build_encoder
    from npid_tf.evaluation.knn import knn_accuracy
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
    from npid_tf.optimizers import Muon
    from npid_tf.run import Run
    from npid_tf.search.built_index import build_index
    from npid_tf.search.live.index import LiveIndex
    from npid_tf.search.live.open import load_index
    from npid_tf.training.callbacks import KNNEvaluation, StopOnNonFiniteLoss
    from npid_tf.training.initialization import initialize_by_forward_pass

__all__ = [
    "NCE",
    "NPID",
    "Augmentation",
    "Client",
    "InstanceClassifier",
    "InstanceCrossEntropy",
    "KNNEvaluation",
    "LearnedRows",
    "LiveIndex",
    "MemoryBank",
    "Muon",
    "NonparametricSoftmax",
    "PerSampleNegatives",
    "RecentRows",
    "RefreshNeighbors",
    "Run",
    "SampledSoftmax",
    "ShardedMemoryBank",
    "SharedNegatives",
    "StopOnNonFiniteLoss",
    "__version__",
    "build_augmentation",
    "build_backbone",
    "build_encoder",
    "build_index",
    "embed",
    "initialize_by_forward_pass",
    "knn_accuracy",
    "load_index",
]
# The module of each name.
_HOMES = {
    "Augmentation": "data.augmentation.layer",
    "Client": "client",
    "InstanceClassifier": "instance_classifier",
    "InstanceCrossEntropy": "losses",
    "KNNEvaluation": "training.callbacks",
    "LearnedRows": "banks.learned_rows",
    "LiveIndex": "search.live.index",
    "MemoryBank": "banks.memory_bank",
    "Muon": "optimizers",
    "NCE": "losses",
    "NPID": "npid",
    "NonparametricSoftmax": "losses",
    "PerSampleNegatives": "losses",
    "RecentRows": "banks.recent_rows",
    "RefreshNeighbors": "banks.refresh_neighbors",
    "Run": "run",
    "SampledSoftmax": "losses",
    "ShardedMemoryBank": "banks.memory_bank",
    "SharedNegatives": "losses",
    "StopOnNonFiniteLoss": "training.callbacks",
    "build_augmentation": "data.augmentation.augment",
    "build_backbone": "backbones",
    "build_encoder": "encoders.encoder",
    "build_index": "search.built_index",
    "embed": "encoders.embed",
    "initialize_by_forward_pass": "training.initialization",
    "knn_accuracy": "evaluation.knn",
    "load_index": "search.live.open",
}
# All layers, models and optimizers that a file of `keras.Model.save` may hold.
_REGISTERED = (
    "backbones",
    "banks.learned_rows",
    "banks.memory_bank",
    "banks.recent_rows",
    "data.augmentation.layer",
    "instance_classifier",
    "losses",
    "npid",
    "optimizers",
)


class _Package(types.ModuleType):
    """A package whose function `embed` stays when its program `embed.py` is imported:
    Python would put that module in the function's place."""

    def __setattr__(self, name, value):
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


if not TYPE_CHECKING:  # An editor would take any name to be there.

    def __getattr__(name):
        if name in _HOMES:
            module = importlib.import_module(f"npid_tf.{_HOMES[name]}")
            value = globals()[name] = getattr(module, name)
            return value
        if _is_room(name):  # `npid_tf.losses` needs no import of its own.
            return importlib.import_module(f"npid_tf.{name}")
        raise AttributeError(
            f"module 'npid_tf' has no attribute {name!r}. Known: {', '.join(__all__)}."
        )


def __dir__():
    return sorted({*globals(), *__all__})


def _is_room(name):
    return any(os.path.isfile(os.path.join(p, name, "__init__.py")) for p in __path__)


def _register():
    from npid_tf.checks.keras_backend import is_tensorflow

    if is_tensorflow():  # Otherwise the first layer that is asked for says so.
        for name in _REGISTERED:
            importlib.import_module(f"npid_tf.{name}")


sys.modules[__name__].__class__ = _Package
os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # Keras reads it when it loads.
if sys.argv[:1] == ["-m"]:  # `python -m npid_tf.train`: a program's output is ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
when_keras_is_loaded(_register)
