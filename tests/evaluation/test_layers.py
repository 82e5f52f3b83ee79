"""Layers as vectors: their published sizes, and that they are the encoder's own."""

import keras
import numpy as np
import pytest

from npid_tf.backbones import build_backbone
from npid_tf.encoders.encoder import build_encoder
from npid_tf.evaluation.layers import BUDGETS, pool, with_layers

STAGES = tuple(BUDGETS)
IMAGES = np.random.default_rng(0).integers(0, 256, [3, 16, 16, 3], np.uint8)


def dimensions(name, image_size, **settings):
    encoder = build_encoder(build_backbone(name, image_size, **settings))
    model = with_layers(encoder, (*STAGES, "features", "embedding"))
    return [shape[1] for shape in model.output_shape]


def test_resnet50_at_224_pixels_has_the_published_dimensions():
    assert dimensions("resnet50", 224) == [9216, 9216, 8192, 9216, 8192, 2048, 128]


@pytest.mark.parametrize(
    ("name", "image_size", "expected"),
    [
        # Channels 64 to 512: squares of side 12, 12, 8, 6 and 4.
        ("resnet18_cifar", 32, [9216, 9216, 8192, 9216, 8192, 512, 128]),
        # The maps of the last stages are smaller than the square: 8, 8, 4, 2 and 1.
        ("resnet18_cifar", 8, [4096, 4096, 2048, 1024, 512, 512, 128]),
        ("alexnet", 63, [9216, 6912, 3456, 2304, 2304, 4096, 128]),
        ("vgg16", 32, [9216, 8192, 6400, 8192, 2048, 4096, 128]),
    ],
)
def test_other_stages_are_the_largest_square_within_the_budget(
    name, image_size, expected
):
    assert dimensions(name, image_size) == expected


@pytest.mark.parametrize(
    ("side", "pooled", "kernel", "stride", "padding"),
    [(112, 12, 10, 10, 4), (28, 4, 13, 5, 0), (7, 2, 6, 1, 0)],
)
def test_published_pooling_is_a_mean_of_windows_with_zeros_around(
    side, pooled, kernel, stride, padding
):
    maps = np.random.default_rng(0).random([1, side, side, 2], np.float32)
    padded = np.pad(maps, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    expected = np.empty([1, pooled, pooled, 2])
    for row in range(pooled):
        for column in range(pooled):
            window = padded[:, row * stride :, column * stride :][:, :kernel, :kernel]
            expected[:, row, column] = window.mean(axis=(1, 2))
    inputs = keras.Input([side, side, 2])
    model = keras.Model(inputs, pool(inputs, 2 * pooled**2))
    np.testing.assert_allclose(model(maps), expected, rtol=1e-4)


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    return build_encoder(build_backbone("resnet18_cifar", 16, width=4), 5)


def test_the_layers_are_those_of_the_encoder(encoder):
    names = ("embedding", "conv5", "features")
    embedding, conv5, features = with_layers(encoder, names)(IMAGES)
    np.testing.assert_allclose(embedding, encoder(IMAGES), atol=1e-6)
    # The maps of conv5 are small enough to stay as they are.
    maps = np.reshape(conv5, [3, 2, 2, 32])
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, atol=1e-5)


def test_an_unknown_layer_is_refused_with_the_known_ones(encoder):
    with pytest.raises(
        ValueError, match=r"Unknown layer 'conv6'.* conv1, .* conv5, features, embeddi"
    ):
        with_layers(encoder, ("conv6",))


def test_a_backbone_without_named_stages_has_features_and_embedding():
    images = keras.Input([4, 4, 3])
    backbone = keras.Model(images, keras.layers.Conv2D(2, 3)(images))
    with pytest.raises(ValueError, match="Known: features, embedding"):
        with_layers(build_encoder(backbone, 5), ("conv1",))
