"""VGG-16: the sizes of torchvision's vgg16 and vgg16_bn."""

import numpy as np
import pytest

from npid_tf import build_backbone


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("vgg16_bn", image_size=32)


def test_stages_halve_the_image_after_each(backbone):
    expected = [(32, 64), (16, 128), (8, 256), (4, 512), (2, 512)]
    for number, (side, channels) in enumerate(expected, start=1):
        shape = backbone.get_layer(f"conv{number}").output.shape
        assert shape == (None, side, side, channels)


def test_weights_are_torchvisions(backbone):
    num_weights = sum(int(np.prod(w.shape)) for w in backbone.trainable_weights)
    convolutions, fc6, fc7 = 14_723_136, (512 + 1) * 4096, (4096 + 1) * 4096
    assert num_weights == convolutions + fc6 + fc7


def test_without_batch_norm_only_its_weights_are_missing(backbone):
    plain = build_backbone("vgg16", image_size=32)
    norms = ("gamma", "beta", "moving_mean", "moving_variance")
    expected = [w.shape for w in backbone.weights if w.name not in norms]
    assert [w.shape for w in plain.weights] == expected
    assert len(backbone.weights) - len(expected) == 4 * 13
    for number in range(1, 6):
        stage = f"conv{number}"
        shape = backbone.get_layer(stage).output.shape
        assert plain.get_layer(stage).output.shape == shape


def test_features_are_fc7_after_relu(backbone):
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    features = backbone(images).numpy()
    assert features.shape == (2, 4096)
    assert np.isfinite(features).all()
    assert features.min() == 0 < features.max()


def test_smaller_images_are_refused():
    with pytest.raises(ValueError, match=r"needs `image_size` >= 32\. Received: 31"):
        build_backbone("vgg16", image_size=31)
