"""The layers of an encoder that a classifier is put on, as vectors."""

import math

import keras

from npid_tf.errors import UserError

# The dimension that the field's protocols pool each stage to (Goyal et al. 2019); for
# ResNet-50 at 224 pixels it is reached exactly.
BUDGETS = {"conv1": 9216, "conv2": 9216, "conv3": 8192, "conv4": 9216, "conv5": 8192}
# (side of the maps, side they are pooled to) -> kernel, stride and padding of the
# published average pooling; its windows overlap if adaptive ones would not.
PUBLISHED_POOLING = {
    (112, 12): (10, 10, 4),
    (56, 6): (16, 8, 0),
    (28, 4): (13, 5, 0),
    (14, 3): (8, 3, 0),
    (7, 2): (6, 1, 0),
}


def with_layers(encoder, names):
    """A model sharing `encoder`'s weights that returns the named layers as vectors.

    Of `pooled_layers`, whose stages become one vector each: float32 [batch, dim].
    """
    model = pooled_layers(encoder, names)
    vectors = [keras.layers.Flatten()(output) for output in model.outputs]
    return keras.Model(model.input, tuple(vectors))


def pooled_layers(encoder, names):
    """A model sharing `encoder`'s weights that returns the named layers.

    The stages conv1 to conv5 of its backbone are average-pooled to a square whose
    dimension is the largest that is not above the published one. `features` is what
    the head projects (a ResNet's global average pool, fc7 of VGG-16 and AlexNet),
    `embedding` its output.

    Returns a Keras model from images to float32 [batch, side, side, channels] of stages
    and [batch, dim] of the others.
    Raises ValueError for a name that the encoder does not have, listing those it has.
    """
    backbone = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    stages = [
        name for name in BUDGETS if any(layer.name == name for layer in backbone.layers)
    ]
    known = (*stages, "features", "embedding")
    for name in names:
        if name not in known:
            raise UserError(
                f"Unknown layer {name!r} of the encoder. Known: {', '.join(known)}."
            )
    x = encoder.input
    for layer in encoder.layers[1 : encoder.layers.index(backbone)]:
        x = layer(x)  # Scales the images.
    wanted = [name for name in stages if name in names]
    outputs = {}
    if wanted:
        maps = [backbone.get_layer(name).output for name in wanted]
        inner = keras.Model(backbone.input, maps)
        for name, output in zip(wanted, keras.tree.flatten(inner(x)), strict=True):
            outputs[name] = pool(output, BUDGETS[name])
    for name in ("features", "embedding"):
        outputs[name] = encoder.get_layer(name).output
    chosen = [keras.layers.Identity(dtype="float32")(outputs[name]) for name in names]
    return keras.Model(encoder.input, tuple(chosen))


def pool(maps, budget):
    """Average-pools maps [batch, side, side, channels] to at most `budget` numbers."""
    side, channels = maps.shape[1], maps.shape[3]
    pooled = min(side, math.isqrt(budget // channels))
    if (side, pooled) in PUBLISHED_POOLING:
        kernel, stride, padding = PUBLISHED_POOLING[side, pooled]
        maps = keras.layers.ZeroPadding2D(padding)(maps)  # Zeros count, as published.
        return keras.layers.AveragePooling2D(kernel, strides=stride)(maps)
    if pooled == side:  # Keras's layer fails on maps of side 1.
        return maps
    return keras.layers.AdaptiveAveragePooling2D(pooled)(maps)
