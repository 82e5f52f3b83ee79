"""Fine-tuning of a whole encoder on few labels."""

import keras
import numpy as np

# As MMSelfSup's configurations: rates are those of a batch of 256 images.
EPOCHS = 20
DECAY_EPOCHS = (12, 16)
DROP = 0.2
# Of the configurations for 1 % and for 10 % of the labels.
FEW_PERCENT, WEIGHT_DECAY_OF_FEW, WEIGHT_DECAY = 10, 5e-4, 1e-4


def weight_decay(percent):
    """The published one for 1 % below 10 %, from there that for 10 %."""
    return WEIGHT_DECAY_OF_FEW if percent < FEW_PERCENT else WEIGHT_DECAY


def balanced_subset(labels, percent, seed):
    """As many images of each class as make `percent` of all, one at least.

    labels: int64 [num_images]. Of a class with fewer all are taken. Returns ascending
    indices, int64, that the seed determines.
    """
    classes = np.unique(labels)
    count = max(1, round(len(labels) * percent / 100 / len(classes)))
    random = np.random.default_rng([seed, percent])
    chosen = []
    for number in classes:
        own = np.flatnonzero(labels == number)
        chosen.append(random.choice(own, min(count, len(own)), replace=False))
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def build_network(encoder, num_classes):
    """The encoder with a layer of class scores on its `features`, and that layer."""
    scores = keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        name="scores",
    )
    features = encoder.get_layer("features").output
    return keras.Model(encoder.input, scores(features)), scores
