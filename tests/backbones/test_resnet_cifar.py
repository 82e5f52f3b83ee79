"""ResNet-18 for small images."""

import numpy as np
import pytest

from npid_tf import build_backbone


@pytest.mark.parametrize(("image_size", "width"), [(32, 64), (16, 8)])
def test_stages_keep_the_image_size_at_first(image_size, width):
    backbone = build_backbone("resnet18_cifar", image_size, width=width)
    for number, (divisor, factor) in enumerate(
        [(1, 1), (1, 1), (2, 2), (4, 4), (8, 8)], start=1
    ):
        side, channels = image_size // divisor, factor * width
        shape = backbone.get_layer(f"conv{number}").output.shape
        assert shape == (None, side, side, channels)


def test_weights_are_those_of_the_authors_cifar_network():
    backbone = build_backbone("resnet18_cifar", 32)
    num_weights = sum(int(np.prod(w.shape)) for w in backbone.trainable_weights)
    assert num_weights == 11_168_832  # Without its last, linear layer.


def test_any_image_size_has_an_output():
    backbone = build_backbone("resnet18_cifar", image_size=9, width=4)
    images = np.random.default_rng(0).normal(size=(2, 9, 9, 3))
    maps = backbone(images).numpy()
    assert maps.shape == (2, 2, 2, 32)
    assert np.isfinite(maps).all()
