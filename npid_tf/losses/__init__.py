"""The losses of an embedding against the bank. To add one: a file here, and a case in
`build.py`.

A loss is a Keras layer, so that what it keeps (NCE's Z) is saved with the model:
`loss(embeddings, indices, bank=, seed=, training=)` returns float32 [batch], one value
per image.

    embeddings: float32 [batch, dim], unit length
    indices: int64 [batch], the row of each image
    bank: MemoryBank
    seed: int64 [2], another in every step
    training: whether to update what the loss keeps
"""

from npid_tf.losses.instance_classifier import InstanceCrossEntropy
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
