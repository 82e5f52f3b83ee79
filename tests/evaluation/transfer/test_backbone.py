"""Our ResNets as keras-hub's."""

import sys

import numpy as np
import pytest

from npid_tf.backbones import build_backbone
from npid_tf.evaluation.transfer.backbone import import_keras_hub, to_keras_hub


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_it_gives_the_same_maps(name):
    pytest.importorskip("keras_hub", reason="the extra transfer is not installed")
    backbone = build_backbone(name, image_size=64)
    generator = np.random.default_rng(0)
    for layer in backbone.layers:  # Fresh batch norms would be alike.
        if layer.name.split(".")[-1].startswith("bn"):
            shape = layer.gamma.shape
            layer.set_weights([generator.uniform(0.5, 1, shape) for _ in range(4)])
    hub = to_keras_hub(backbone)
    images = generator.normal(size=(2, 64, 64, 3)).astype("float32")
    maps, hub_maps = backbone(images).numpy(), hub(images).numpy()
    assert np.abs(maps).max() > 0.1
    scale = np.abs(maps).max()
    np.testing.assert_allclose(hub_maps / scale, maps / scale, atol=1e-5)
    assert list(hub.pyramid_outputs) == ["P2", "P3", "P4", "P5"]


@pytest.mark.parametrize("name", ["resnet18_cifar", "alexnet"])
def test_backbones_that_keras_hub_has_not_are_refused(name):
    pytest.importorskip("keras_hub", reason="the extra transfer is not installed")
    message = f"take resnet18, resnet34, resnet50 or resnet101. Received: {name}"
    with pytest.raises(ValueError, match=message):
        to_keras_hub(build_backbone(name, image_size=64, width=2))


def test_missing_keras_hub_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[transfer\]'"):
        import_keras_hub()
