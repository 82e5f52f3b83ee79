"""The losses of an embedding against the bank. To add one: a file here, and a line in
`LOSSES`.

A loss is a Keras layer, so that what it keeps (NCE's Z) is saved with the model:
`loss(embeddings, indices, bank=, seed=, training=)` returns float32 [batch], one value
per image.

    embeddings: float32 [batch, dim], unit length
    indices: int64 [batch], the row of each image
    bank: MemoryBank
    seed: int64 [2], another in every step
    training: whether to update what the loss keeps
"""

import dataclasses
from collections.abc import Callable

from npid_tf.checks.arguments import one_of
from npid_tf.losses.instance_cross_entropy import InstanceCrossEntropy
from npid_tf.losses.nce import NCE
from npid_tf.losses.negatives import PerSampleNegatives, SharedNegatives
from npid_tf.losses.nonparametric_softmax import NonparametricSoftmax
from npid_tf.losses.sampled_softmax import SampledSoftmax

__all__ = [
    "LOSSES",
    "NCE",
    "NEGATIVES",
    "InstanceCrossEntropy",
    "NonparametricSoftmax",
    "PerSampleNegatives",
    "SampledSoftmax",
    "SharedNegatives",
    "build_loss",
]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a loss may be made of; each takes what is its own."""

    temperature: float
    make_negatives: Callable
    z_decay: float | None
    smoothing: float


# Functions of `Settings`.
LOSSES = {
    "nonparametric_softmax": lambda s: NonparametricSoftmax(s.temperature),
    "nce": lambda s: NCE(s.make_negatives(), s.temperature, s.z_decay),
    "sampled_softmax": lambda s: SampledSoftmax(s.make_negatives(), s.temperature),
    "instance_classifier": lambda s: InstanceCrossEntropy(s.temperature, s.smoothing),
}
NEGATIVES = {"shared": SharedNegatives, "per_sample": PerSampleNegatives}


def build_loss(
    name: str,
    num_instances: int,
    temperature: float,
    *,
    negatives: str = "shared",
    num_negatives: int = 4096,
    z_decay: float | None = None,
    smoothing: float = 0.0,
):
    """The loss called `name`, of num_instances rows.

    negatives (one of `NEGATIVES`), num_negatives and z_decay are nce's and
    sampled_softmax's, smoothing is instance_classifier's. Raises UserError for an
    unknown name.

    Example:

    >>> from npid_tf.losses import build_loss
    >>> build_loss("nce", 1000, 0.07, num_negatives=64).negatives.num_negatives
    64
    """

    def make_negatives():
        make = NEGATIVES[one_of("negatives", negatives, NEGATIVES)]
        return make(num_instances, num_negatives)

    settings = Settings(temperature, make_negatives, z_decay, smoothing)
    return LOSSES[one_of("loss", name, LOSSES)](settings)
