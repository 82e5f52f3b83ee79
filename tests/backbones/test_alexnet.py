"""AlexNet: the sizes of torchvision's."""

import numpy as np
import pytest

from npid_tf import build_backbone


# torchvision's number of parameters without its last layer, and, where there is batch
# norm, a scale and an offset per channel.
@pytest.mark.parametrize(
    ("name", "num_expected"),
    [("alexnet", 57_003_840), ("alexnet_bn", 57_003_840 + 2 * 1152)],
)
def test_stages_and_weights_are_those_of_the_one_tower_network(name, num_expected):
    backbone = build_backbone(name, image_size=224)
    expected = [(55, 64), (27, 192), (13, 384), (13, 256), (13, 256)]
    for number, (side, channels) in enumerate(expected, start=1):
        shape = backbone.get_layer(f"conv{number}").output.shape
        assert shape == (None, side, side, channels)
    num_weights = sum(int(np.prod(w.shape)) for w in backbone.trainable_weights)
    assert num_weights == num_expected


def test_the_smallest_images_have_features():
    backbone = build_backbone("alexnet_bn", image_size=63)
    images = np.random.default_rng(0).normal(size=(2, 63, 63, 3))
    features = backbone(images).numpy()
    assert features.shape == (2, 4096)
    assert np.isfinite(features).all()
    assert features.min() == 0 < features.max()


def test_smaller_images_are_refused():
    message = "alexnet needs `image_size` >= 63. Received: 62"
    with pytest.raises(ValueError, match=message):
        build_backbone("alexnet", image_size=62)
