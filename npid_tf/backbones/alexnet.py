"""AlexNet (Krizhevsky 2014, one tower), up to its last hidden layer."""

import keras

from npid_tf.backbones.vgg import fully_connected, plain_convolution
from npid_tf.errors import UserError


def alexnet(image_size, is_normalized):
    """AlexNet as torchvision builds it and names layers, with no local normalization.

    is_normalized: batch norm after each convolution, which torchvision's has not.
    Returns a model to [batch, 4096], fc7 after ReLU; the paper puts its projection
    there. Raises ValueError for images below 63 pixels.
    """
    if image_size < 63:
        raise UserError(f"alexnet needs `image_size` >= 63. Received: {image_size}.")
    images = keras.Input([image_size, image_size, 3])
    x, index = keras.layers.ZeroPadding2D(2)(images), 0
    # (channels, kernel size, stride, max pooling after it)
    layers = (
        (64, 11, 4, True),
        (192, 5, 1, True),
        (384, 3, 1, False),
        (256, 3, 1, False),
        (256, 3, 1, True),
    )
    for number, (channels, kernel_size, strides, pooled) in enumerate(layers, start=1):
        x, index = plain_convolution(
            x,
            channels,
            kernel_size,
            index,
            is_normalized,
            strides,
            padding="valid" if number == 1 else "same",
            name=f"conv{number}",
        )
        if pooled:
            x = keras.layers.MaxPooling2D(3, strides=2)(x)
            index += 1
    x = fully_connected(x, "classifier.1", "classifier.4")
    return keras.Model(images, x, name="alexnet_bn" if is_normalized else "alexnet")
