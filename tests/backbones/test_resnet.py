"""ResNets: the sizes of torchvision's."""

import keras
import numpy as np
import pytest

from npid_tf import build_backbone
from npid_tf.backbones.resnet import batch_norm, convolution
from npid_tf.distribution.strategies import build_strategy

STAGES = ["conv1", "conv2", "conv3", "conv4", "conv5"]


def num_trained(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


# torchvision's number of parameters, without `fc`.
@pytest.mark.parametrize(
    ("name", "num_weights", "channels"),
    [
        ("resnet18", 11_176_512, [64, 64, 128, 256, 512]),
        ("resnet34", 21_284_672, [64, 64, 128, 256, 512]),
        ("resnet50", 23_508_032, [64, 256, 512, 1024, 2048]),
        ("resnet101", 42_500_160, [64, 256, 512, 1024, 2048]),
    ],
)
def test_stages_and_weights_are_torchvisions(name, num_weights, channels):
    backbone = build_backbone(name, image_size=224)
    sides = (112, 56, 28, 14, 7)
    for stage, side, depth in zip(STAGES, sides, channels, strict=True):
        assert backbone.get_layer(stage).output.shape == (None, side, side, depth)
    assert backbone.output is backbone.get_layer("conv5").output
    assert num_trained(backbone) == num_weights


def test_features_are_finite_and_differ_between_images():
    backbone = build_backbone("resnet18", image_size=64)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3))
    maps = backbone(images, training=True).numpy()
    assert maps.shape == (2, 2, 2, 512)
    assert np.isfinite(maps).all()
    assert np.abs(maps[0] - maps[1]).max() > 0.1


def test_strided_convolutions_are_padded_alike_on_all_sides():
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, convolution(image, 1, kernel_size=3, strides=2))
    model.set_weights([np.ones((3, 3, 1, 1))])
    # Each value counts the pixels under the kernel, as PyTorch places it.
    counts = model(np.ones((1, 4, 4, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(counts, [[4, 6], [6, 9]])


def test_weights_start_with_the_variance_of_their_fan_out():
    image = keras.Input((8, 8, 64))
    kernel = keras.Model(image, convolution(image, 128, 3)).get_weights()[0]
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 128)), rtol=0.02)


def test_batch_norm_is_synchronized_where_there_are_replicas():
    assert not batch_norm().synchronized
    with build_strategy("mirrored").scope():
        assert batch_norm().synchronized


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"Unknown backbone 'vit'\. Known: resnet18"):
        build_backbone("vit", image_size=32)
    with pytest.raises(ValueError, match="Unknown backbone None"):
        build_backbone(None, image_size=32)


@pytest.mark.parametrize("arguments", [{"image_size": "32"}, {"image_size": 0}])
def test_sizes_that_are_none_are_refused(arguments):
    with pytest.raises(ValueError, match="`image_size` must be"):
        build_backbone("resnet18", **arguments)
