"""The learned ResNet as a backbone of keras-hub."""

import importlib
import re

from npid_tf.errors import MissingPackageError, UserError

STAGES = (64, 128, 256, 512)  # Channels of torchvision's ResNets.


def import_keras_hub():
    """keras-hub. Raises ImportError that says what to do if it is missing."""
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise MissingPackageError(
            "Detection and segmentation need keras-hub and pycocotools: "
            "pip install '.[transfer]'."
        ) from error


def to_keras_hub(backbone):
    """A keras_hub ResNetBackbone for images of any size, with the backbone's weights.

    backbone: what `build_backbone` gives for resnet18 to resnet101. Its inputs are
    normalized images. Raises ValueError for another backbone.
    """
    keras_hub = import_keras_hub()
    layers = {layer.name: layer for layer in backbone.layers if layer.weights}
    blocks = {re.match(r"layer(\d)\.(\d+)", name).groups()
              for name in layers if name.startswith("layer")}  # fmt: skip
    kernel = getattr(layers.get("stem.conv1"), "kernel", None)
    if kernel is None or tuple(kernel.shape) != (7, 7, 3, STAGES[0]):
        raise UserError(
            "Detection and segmentation take resnet18, resnet34, resnet50 or "
            f"resnet101. Received: {backbone.name}."
        )
    hub = keras_hub.models.ResNetBackbone(
        input_conv_filters=[STAGES[0]],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=list(STAGES),
        stackwise_num_blocks=[
            sum(stage == str(number) for stage, _ in blocks) for number in range(1, 5)
        ],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=(
            "bottleneck_block" if "layer1.0.conv3" in layers else "basic_block"
        ),
    )
    for name, layer in layers.items():
        hub.get_layer(_hub_name(name)).set_weights(layer.get_weights())
    return hub


def _hub_name(name):
    """keras-hub's name of one of our layers."""
    if name.startswith("stem."):
        return {"stem.conv1": "conv1_conv", "stem.bn1": "conv1_bn"}[name]
    stage, block, kind, number = re.fullmatch(
        r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)", name
    ).groups()
    if kind == "downsample.":  # 0: convolution, 1: batch norm
        kind, number = ("conv", "bn")[int(number)], 0
    return f"stack{int(stage) - 1}_block{block}_{number}_{kind}"
