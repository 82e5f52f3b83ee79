"""VGG-16 (Simonyan and Zisserman 2015), up to its last hidden layer."""

import keras

from npid_tf.backbones.resnet import batch_norm
from npid_tf.errors import UserError


def vgg16(image_size, is_normalized):
    """VGG-16 as torchvision builds it and names layers.

    is_normalized: batch norm after each convolution (torchvision's vgg16_bn).
    Returns a model to [batch, 4096], fc7 after ReLU; the paper puts its projection
    there. Raises ValueError for images below 32 pixels.
    """
    if image_size < 32:
        raise UserError(f"vgg16 needs `image_size` >= 32. Received: {image_size}.")
    images = keras.Input([image_size, image_size, 3])
    x, number = images, 0
    stages = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    for stage, (num_layers, channels) in enumerate(stages, start=1):
        for layer in range(num_layers):
            name = f"conv{stage}" if layer == num_layers - 1 else None
            x, number = plain_convolution(
                x, channels, 3, number, is_normalized, name=name
            )
        x = keras.layers.MaxPooling2D(2)(x)
        number += 1
    x = fully_connected(x, "classifier.0", "classifier.3")
    return keras.Model(images, x, name="vgg16_bn" if is_normalized else "vgg16")


def plain_convolution(
    x,
    channels,
    kernel_size,
    number,
    is_normalized,
    strides=1,
    padding="same",
    name=None,
):
    """Convolution with bias, batch norm if asked for, and ReLU, called `name`.

    Returns its output and the number of the layer after it, both counted as in
    torchvision's `features`.
    """
    x = keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_initializer="he_normal",
        name=f"features.{number}",
    )(x)
    if is_normalized:
        number += 1
        x = batch_norm(f"features.{number}")(x)
    return keras.layers.ReLU(name=name)(x), number + 2


def fully_connected(x, *names):
    """fc6 and fc7 of VGG and AlexNet: 4096 units each, with dropout before them."""
    x = keras.layers.Flatten()(x)
    for name in names:
        x = keras.layers.Dropout(0.5)(x)
        x = keras.layers.Dense(4096, activation="relu", name=name)(x)
    return x
