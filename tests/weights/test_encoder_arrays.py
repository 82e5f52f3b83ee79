"""Encoders with torchvision's weights against torchvision, and the way back."""

import pathlib

import numpy as np
import pytest

from npid_tf.backbones import build_backbone
from npid_tf.encoders.encoder import build_encoder, with_features
from npid_tf.weights.encoder_arrays import assign_encoder, read_encoder
from tests.support.networks import (
    IMAGE_SIZES,
    import_beside_tensorflow,
    make_arrays,
    make_images,
)

RECORDED = pathlib.Path(__file__).parent / "recorded" / "features.npz"


def encoder_of(name, size, width=64, **head):
    backbone = build_backbone(name, size, width=width)
    head = head or {"head": "none", "embedding_dim": backbone.output.shape[-1]}
    return build_encoder(backbone, **head)


def check_features(encoder, size, expected):
    features = with_features(encoder)(make_images(size))[0].numpy()
    scale = np.abs(expected).max()
    assert scale > 0.1
    np.testing.assert_allclose(features / scale, expected / scale, atol=1e-4)
    assert np.abs(features - features.mean()).max() > 0.05 * scale


@pytest.mark.parametrize("name", IMAGE_SIZES)
def test_features_are_those_that_torchvision_gave(name):
    with np.load(RECORDED) as recorded:
        names, shapes, expected = (
            recorded[f"{name}.{part}"] for part in ("names", "shapes", "features")
        )
    shapes = [tuple(map(int, shape.split(","))) for shape in shapes]
    arrays = make_arrays(dict(zip(names.tolist(), shapes, strict=True)))
    encoder = encoder_of(name, IMAGE_SIZES[name])
    report = assign_encoder(encoder, arrays)
    assert (report.unmatched, report.unset) == ([], [])
    assert set(report.matched) == set(arrays)
    assert len(report.reshaped) == (name in ("alexnet", "vgg16"))
    check_features(encoder, IMAGE_SIZES[name], expected)
    back = read_encoder(encoder)
    assert back.keys() == arrays.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(back[path], array)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "resnet101", "alexnet", "vgg16", "vgg16_bn"]
)
def test_features_are_those_that_torchvision_gives(name):
    import_beside_tensorflow("torchvision")
    from record import build_network, features_of, set_weights

    network = build_network(name)
    set_weights(network)
    arrays = {key: value.numpy() for key, value in network.state_dict().items()}
    encoder = encoder_of(name, 224)
    report = assign_encoder(encoder, arrays)
    assert report.unset == []
    assert all(key.endswith("num_batches_tracked") for key in report.unmatched)
    check_features(encoder, 224, features_of(network, 224))


@pytest.mark.parametrize(("head", "batch_norm"), [("linear", False), ("mlp", True)])
def test_the_way_out_and_back_is_exact(head, batch_norm):
    heads = {"embedding_dim": 5, "head": head, "batch_norm_before_l2": batch_norm}
    first = encoder_of("resnet18_cifar", 8, width=2, **heads)
    generator = np.random.default_rng(0)
    first.set_weights([generator.normal(size=w.shape) for w in first.weights])
    arrays = read_encoder(first)
    second = encoder_of("resnet18_cifar", 8, width=2, **heads)
    report = assign_encoder(second, arrays)
    assert (report.reshaped, report.unmatched, report.unset) == ([], [], [])
    assert len(report.matched) == len(arrays) == len(first.weights)
    for ours, theirs in zip(second.weights, first.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    last = "fc.2" if head == "mlp" else "fc"
    assert arrays[f"{last}.weight"].shape[0] == 5
    assert ("fc_norm.running_var" in arrays) == batch_norm


def test_the_report_names_what_does_not_fit():
    encoder = encoder_of("resnet18_cifar", 8, width=2)
    arrays = read_encoder(encoder)
    arrays["conv1.weight"] = np.zeros((2, 3, 7, 7), np.float32)
    del arrays["layer4.1.bn2.bias"]
    arrays["other"] = np.zeros(3)
    report = assign_encoder(encoder, arrays)
    assert report.unmatched == ["other"]
    assert report.unset == [
        "conv1.weight [2, 3, 3, 3]: [2, 3, 7, 7] in the file",
        "layer4.1.bn2.bias [16]: not in the file",
    ]
    assert list(report.lines()) == [
        f"Matched: {len(arrays) - 2} of the encoder's {len(arrays)} arrays.",
        "Reshaped: 0.",
        "Unmatched: 1.",
        "  other",
        "Unset: 2.",
        *(f"  {text}" for text in report.unset),
    ]
