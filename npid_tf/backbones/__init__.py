"""The convolutional networks, by name. To add one: a file here and a line below.

A backbone is a Keras model from normalized images [batch, size, size, 3] to feature
maps [batch, height, width, channels] or features [batch, channels]. The outputs of
its five stages are the layers named `conv1` to `conv5`. Those with weights have the
names of torchvision's (weights/encoder_arrays.py reads weights by them).
"""

import functools
from collections.abc import Callable

import keras

from npid_tf.backbones.alexnet import alexnet
from npid_tf.backbones.resnet import resnet
from npid_tf.backbones.resnet_cifar import resnet18_cifar
from npid_tf.backbones.vgg import vgg16
from npid_tf.checks.arguments import one_of, whole_number

BACKBONES: dict[str, Callable[..., keras.Model]] = {
    "resnet18": functools.partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False),
    "resnet34": functools.partial(resnet, blocks=(3, 4, 6, 3), bottleneck=False),
    "resnet50": functools.partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True),
    "resnet101": functools.partial(resnet, blocks=(3, 4, 23, 3), bottleneck=True),
    "resnet18_cifar": resnet18_cifar,
    "vgg16": functools.partial(vgg16, is_normalized=False),
    "vgg16_bn": functools.partial(vgg16, is_normalized=True),
    "alexnet": functools.partial(alexnet, is_normalized=False),
    "alexnet_bn": functools.partial(alexnet, is_normalized=True),
}


def build_backbone(name: str, image_size: int, *, width: int = 64) -> keras.Model:
    """The backbone called `name`, with fresh weights, for images of one size.

    Args:
        name: resnet18, resnet34, resnet50, resnet101, resnet18_cifar, vgg16, vgg16_bn,
            alexnet or alexnet_bn.
        image_size: side of the square images.
        width: channels of the first stage, of resnet18_cifar alone.

    Returns:
        Model from float32 [batch, image_size, image_size, 3] to feature maps [batch,
        height, width, channels] or features [batch, channels].

    Raises:
        ValueError: for an unknown name, listing the known, and too small images.

    Source: torchvision's networks of these names.

    Example:

    >>> from npid_tf import build_backbone
    >>> build_backbone("resnet18_cifar", image_size=32, width=16).output_shape
    (None, 4, 4, 128)
    """
    one_of("backbone", name, BACKBONES)
    image_size = whole_number("image_size", image_size, 1)
    width = whole_number("width", width, 1)
    if name == "resnet18_cifar":
        return BACKBONES[name](image_size, width=width)
    return BACKBONES[name](image_size)
