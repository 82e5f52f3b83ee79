"""The convolutional networks, by name. To add one: a file here and a line below.

A backbone is a Keras model from normalized images [batch, size, size, 3] to feature
maps [batch, height, width, channels] or features [batch, channels]. The outputs of
its five stages are the layers named `conv1` to `conv5`. Those with weights have the
names of torchvision's (weights/encoder_arrays.py reads weights by them).
"""

import functools

from npid_tf.backbones.alexnet import alexnet
from npid_tf.backbones.resnet import resnet
from npid_tf.backbones.resnet_cifar import resnet18_cifar
from npid_tf.backbones.vgg import vgg16
from npid_tf.errors import UserError

BACKBONES = {
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


def build_backbone(name, image_size, width=64):
    """The backbone called `name`, with fresh weights, for images of one size.

    image_size: side of the square images. width: channels of the first stage, of
    resnet18_cifar alone. Raises ValueError for an unknown name, listing the known.
    """
    if name not in BACKBONES:
        raise UserError(f"Unknown backbone {name!r}. Known: {', '.join(BACKBONES)}.")
    if name == "resnet18_cifar":
        return BACKBONES[name](image_size, width=width)
    return BACKBONES[name](image_size)
