"""AlexNet (Krizhevsky 2014, one tower) with batch norm, up to its last hidden layer."""

import keras

from npid_tf.backbones.resnet import batch_norm_relu
from npid_tf.backbones.vgg import fully_connected


def alexnet(image_size):
    """AlexNet with batch norm in place of local response normalization.

    Returns a model to [batch, 4096], fc7 after ReLU; the paper puts its projection
    there. Raises ValueError for images below 63 pixels.
    """
    if image_size < 63:
        raise ValueError(f"alexnet needs `image_size` >= 63. Received: {image_size}.")
    images = keras.Input([image_size, image_size, 3])
    x = keras.layers.ZeroPadding2D(2)(images)
    # (channels, kernel size, stride, max pooling after it)
    layers = (
        (64, 11, 4, True),
        (192, 5, 1, True),
        (384, 3, 1, False),
        (256, 3, 1, False),
        (256, 3, 1, True),
    )
    for number, (channels, kernel_size, strides, pooled) in enumerate(layers, start=1):
        x = keras.layers.Conv2D(
            channels,
            kernel_size,
            strides=strides,
            padding="valid" if number == 1 else "same",
            kernel_initializer="he_normal",
        )(x)
        x = batch_norm_relu(x, name=f"conv{number}")
        if pooled:
            x = keras.layers.MaxPooling2D(3, strides=2)(x)
    x = fully_connected(keras.layers.Flatten()(x))
    return keras.Model(images, x, name="alexnet")
