"""The losses of an embedding against the bank. To add one: a file here, and a case in
`build_loss`.

A loss is a Keras layer, so that what it keeps (NCE's Z) is saved with the model:
`loss(embeddings, indices, bank=, seed=, training=)` returns float32 [batch], one value
per image.

    embeddings: float32 [batch, dim], unit length
    indices: int64 [batch], the row of each image
    bank: MemoryBank
    seed: int64 [2], another in every step
    training: whether to update what the loss keeps
"""

from npid_tf.errors import UserError
from npid_tf.losses.instance_cross_entropy import InstanceCrossEntropy
from npid_tf.losses.nce import NCE
from npid_tf.losses.negatives import PerSampleNegatives, SharedNegatives
from npid_tf.losses.nonparametric_softmax import NonparametricSoftmax
from npid_tf.losses.sampled_softmax import SampledSoftmax

__all__ = [
    "NCE",
    "InstanceCrossEntropy",
    "NonparametricSoftmax",
    "PerSampleNegatives",
    "SampledSoftmax",
    "SharedNegatives",
]


def build_loss(
    name,
    num_instances,
    temperature,
    negatives="shared",
    num_negatives=4096,
    z_decay=None,
    smoothing=0.0,
):
    """The loss called `name`, of num_instances rows.

    negatives (shared or per_sample), num_negatives and z_decay are nce's and
    sampled_softmax's, smoothing is instance_classifier's. Raises ValueError for an
    unknown name.
    """
    if name == "nonparametric_softmax":
        return NonparametricSoftmax(temperature)
    if name == "instance_classifier":
        return InstanceCrossEntropy(temperature, smoothing)
    if name not in ("nce", "sampled_softmax"):
        raise UserError(
            f"Unknown loss {name!r}. Known: nonparametric_softmax, nce, "
            "sampled_softmax, instance_classifier."
        )
    samplers = {"shared": SharedNegatives, "per_sample": PerSampleNegatives}
    if negatives not in samplers:
        raise UserError(
            f"Unknown negatives {negatives!r}. Known: {', '.join(samplers)}."
        )
    negatives = samplers[negatives](num_instances, num_negatives)
    if name == "nce":
        return NCE(negatives, temperature, z_decay)
    return SampledSoftmax(negatives, temperature)
