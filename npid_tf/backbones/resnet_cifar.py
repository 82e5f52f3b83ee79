"""ResNet-18 for small images, as the authors' CIFAR code: 3x3 stem, no pooling."""

import keras

from npid_tf.backbones.resnet import residual_stages, stem


def resnet18_cifar(image_size, width=64):
    """ResNet-18 with a 3x3 stem of stride 1.

    width: channels of the first stage (64 is the standard; 16 suits two cores).
    Returns a model to [batch, size / 8, size / 8, 8 * width].
    """
    images = keras.Input([image_size, image_size, 3])
    x = stem(images, width, kernel_size=3, strides=1)
    x = residual_stages(x, blocks=(2, 2, 2, 2), width=width, bottleneck=False)
    return keras.Model(images, x, name="resnet18_cifar")
