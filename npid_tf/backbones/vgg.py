"""VGG-16 (Simonyan and Zisserman 2015) with batch norm, up to its last hidden layer."""

import keras

from npid_tf.backbones.resnet import batch_norm_relu


def vgg16(image_size):
    """VGG-16 with batch norm.

    Returns a model to [batch, 4096], fc7 after ReLU; the paper puts its projection
    there. Raises ValueError for images below 32 pixels.
    """
    if image_size < 32:
        raise ValueError(f"vgg16 needs `image_size` >= 32. Received: {image_size}.")
    images = keras.Input([image_size, image_size, 3])
    x = images
    stages = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    for stage, (num_layers, channels) in enumerate(stages, start=1):
        for number in range(num_layers):
            x = keras.layers.Conv2D(
                channels, 3, padding="same", kernel_initializer="he_normal"
            )(x)
            is_last = number == num_layers - 1
            x = batch_norm_relu(x, name=f"conv{stage}" if is_last else None)
        x = keras.layers.MaxPooling2D(2)(x)
    x = fully_connected(keras.layers.Flatten()(x))
    return keras.Model(images, x, name="vgg16")


def fully_connected(x):
    """fc6 and fc7 of VGG and AlexNet: 4096 units each, with dropout before them."""
    for name in ("fc6", "fc7"):
        x = keras.layers.Dropout(0.5)(x)
        x = keras.layers.Dense(4096, activation="relu", name=name)(x)
    return x
