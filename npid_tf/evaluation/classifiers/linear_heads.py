"""Linear classifiers on the layers of a frozen encoder, all learned at once."""

import dataclasses

import keras
import tensorflow as tf

from npid_tf.errors import UserError
from npid_tf.evaluation.layers import pooled_layers

STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5", "features")


@dataclasses.dataclass(frozen=True)
class Preset:
    """How the heads learn. learning_rate: of a batch of 256 images, to which others'
    are proportional. decay_epochs: when it drops to a tenth."""

    layers: tuple[str, ...]
    learning_rate: float
    weight_decay: float
    nesterov: bool
    batch_norm: bool
    epochs: int
    decay_epochs: tuple[int, ...]
    augmentation: str


MULTIHEAD = Preset(
    STAGES, 0.01, 1e-4, True, True, 90, (30, 60, 90), "crop_flip_color"
)  # fmt: skip
PRESETS = {
    "multihead": MULTIHEAD,  # MMSelfSup 0.11, of ImageNet
    "places205": dataclasses.replace(
        MULTIHEAD, epochs=28, decay_epochs=(7, 14, 21), augmentation="crop_flip"
    ),
    "inat2018": dataclasses.replace(
        MULTIHEAD, epochs=84, decay_epochs=(24, 48, 72), augmentation="crop_flip"
    ),
    "avgpool": Preset(
        ("features",), 30.0, 0.0, False, False, 100, (60, 80), "crop_flip"
    ),  # MoCo
}


class Heads(keras.Model):
    """Keras's model of several outputs, also where replicas have unequal batches."""

    def _maybe_symbolic_build(self, *args, **kwargs):
        # Keras's own adds up a batch that replicas share, whose parts must be equally
        # large then. It needs no more of a batch than its shapes.
        images = tf.zeros([1, *self.input_shape[1:]], self.inputs[0].dtype)
        labels = (tf.zeros([1], tf.int64),) * len(self.outputs)
        super()._maybe_symbolic_build(data_batch=(images, labels))


def get_preset(name):
    """The `Preset` called `name`. Raises ValueError for an unknown one."""
    if name not in PRESETS:
        raise UserError(f"Unknown linear_preset {name!r}. Known: {', '.join(PRESETS)}.")
    return PRESETS[name]


def scaled_epochs(epochs, preset_epochs, decay_epochs):
    """decay_epochs of a run of `epochs` instead of `preset_epochs`, in proportion."""
    return tuple(round(epoch * epochs / preset_epochs) for epoch in decay_epochs)


def build_heads(encoder, layers, num_classes, batch_norm, weight_decay=0.0):
    """A network from images to a tuple of class scores, one for each layer.

    The encoder is frozen: its weights are not trainable and its batch norm and dropout
    are those of inference. batch_norm: scales the channels of each layer's pooled maps;
    weight_decay: adds weight_decay * w to the gradient of every weight w of a head.
    """
    encoder.trainable = False
    model = pooled_layers(encoder, layers)
    outputs = keras.tree.flatten(model(model.input, training=False))
    num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
    heads = []
    for layer, x in zip(layers, outputs, strict=True):
        if batch_norm:
            x = keras.layers.BatchNormalization(
                momentum=0.9,
                epsilon=1e-5,
                center=False,
                scale=False,
                synchronized=num_replicas > 1,
            )(x)
        head = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            kernel_regularizer=keras.regularizers.L2(weight_decay / 2),
            bias_regularizer=keras.regularizers.L2(weight_decay / 2),
            name=f"{layer}_scores",
        )
        heads.append(head(keras.layers.Flatten()(x)))
    return Heads(model.input, tuple(heads))


def losses_of_heads(num_heads, batch_size):
    """Arguments of `compile` by which heads learn, each as if it were alone.

    Sums, divided by the images of all replicas: their batches may differ in size.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    return {"loss": [loss] * num_heads, "loss_weights": [1 / batch_size] * num_heads}
