"""Residual networks (He et al. 2016), as torchvision builds them and names layers."""

import keras
import tensorflow as tf

from npid_tf.backbones.batch_norm import BatchNormalization


def resnet(image_size, blocks, bottleneck):
    """ResNet for images from about 64 pixels on: 7x7 stem and max pooling.

    blocks: residual blocks of each of the four stages. bottleneck: 1x1-3x3-1x1 blocks
    (ResNet-50 and deeper) instead of two 3x3.
    Returns a model to [batch, size / 32, size / 32, 512 or 2048].
    """
    images = keras.Input([image_size, image_size, 3])
    x = stem(images, 64, kernel_size=7, strides=2)
    x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.MaxPooling2D(3, strides=2)(x)
    x = residual_stages(x, blocks, width=64, bottleneck=bottleneck)
    return keras.Model(images, x, name="resnet")


def stem(images, channels, kernel_size, strides):
    """Stage conv1. `conv1` is its output's name, so its layers' begin with `stem.`."""
    x = convolution(images, channels, kernel_size, strides, name="stem.conv1")
    return keras.layers.ReLU(name="conv1")(batch_norm("stem.bn1")(x))


def residual_stages(x, blocks, width, bottleneck):
    """The stages conv2 to conv5, of `width`, 2, 4 and 8 times `width` channels."""
    block = bottleneck_block if bottleneck else basic_block
    for stage, num_blocks in enumerate(blocks):
        for number in range(num_blocks):
            x = block(
                x,
                width * 2**stage,
                strides=2 if stage > 0 and number == 0 else 1,
                path=f"layer{stage + 1}.{number}",
                name=f"conv{stage + 2}" if number == num_blocks - 1 else None,
            )
    return x


def basic_block(x, channels, strides, path, name=None):
    """Two 3x3 convolutions around a shortcut; `name` is the last ReLU's."""
    y = convolution(x, channels, 3, strides, name=f"{path}.conv1")
    y = keras.layers.ReLU()(batch_norm(f"{path}.bn1")(y))
    y = convolution(y, channels, 3, name=f"{path}.conv2")
    y = batch_norm(f"{path}.bn2")(y)
    y = keras.layers.Add()([y, shortcut(x, channels, strides, path)])
    return keras.layers.ReLU(name=name)(y)


def bottleneck_block(x, channels, strides, path, name=None):
    """1x1, 3x3 (with the stride, as torchvision's) and 1x1 to 4 times the channels."""
    y = convolution(x, channels, 1, name=f"{path}.conv1")
    y = keras.layers.ReLU()(batch_norm(f"{path}.bn1")(y))
    y = convolution(y, channels, 3, strides, name=f"{path}.conv2")
    y = keras.layers.ReLU()(batch_norm(f"{path}.bn2")(y))
    y = convolution(y, 4 * channels, 1, name=f"{path}.conv3")
    y = batch_norm(f"{path}.bn3")(y)
    y = keras.layers.Add()([y, shortcut(x, 4 * channels, strides, path)])
    return keras.layers.ReLU(name=name)(y)


def shortcut(x, channels, strides, path):
    """The input itself, or its 1x1 convolution if the shape changes."""
    if strides == 1 and x.shape[-1] == channels:
        return x
    x = convolution(x, channels, 1, strides, name=f"{path}.downsample.0")
    return batch_norm(f"{path}.downsample.1")(x)


def convolution(x, channels, kernel_size, strides=1, name=None):
    """Without bias, padded alike on all sides whatever the stride, as in PyTorch."""
    if kernel_size > 1 and strides > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2)(x)
        padding = "valid"
    else:
        padding = "same"
    return keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=name,
    )(x)


def batch_norm(name=None):
    """Statistics of the whole batch also when replicas share it."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return BatchNormalization(
        momentum=0.9, epsilon=1e-5, synchronized=replicas > 1, name=name
    )
