"""Writes what is in recorded/, by PyTorch and torchvision.

Command: python tests/weights/record.py
features.npz: of each network the names and shapes of its weights, and the features of
one image. types_*.pth: tensors of all types, in both of PyTorch's formats.
"""

import pathlib

import numpy as np
import torch
import torchvision

from tests.support.networks import IMAGE_SIZES, make_arrays, make_images

RECORDED = pathlib.Path(__file__).parent / "recorded"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build_network(name, map_size=None):
    """torchvision's network up to its features.

    map_size: side of the maps that the first fully connected layer takes, instead of
    torchvision's 6 or 7.
    """
    network = getattr(torchvision.models, name)(weights=None)
    if hasattr(network, "fc"):
        network.fc = torch.nn.Identity()
        return network.eval()
    first = next(m for m in network.classifier if isinstance(m, torch.nn.Linear))
    if map_size is not None:
        channels = 256 if name == "alexnet" else 512
        network.avgpool = torch.nn.Identity()
        number = list(network.classifier).index(first)
        network.classifier[number] = torch.nn.Linear(channels * map_size**2, 4096)
    network.classifier = network.classifier[:6]
    return network.eval()


def set_weights(network):
    """Gives the network the weights of `make_arrays` and returns their shapes."""
    state = network.state_dict()
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    arrays = make_arrays(shapes)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network.load_state_dict(state | tensors)
    return shapes


@torch.no_grad()
def features_of(network, size):
    """float32 [1, channels]."""
    images = (make_images(size) / 255 - MEAN) / DEVIATION
    inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))
    return network(inputs).numpy()


def record_features():
    recorded = {}
    for name, size in IMAGE_SIZES.items():
        network = build_network(name, map_size=2)
        shapes = set_weights(network)
        recorded[f"{name}.names"] = np.array(list(shapes))
        recorded[f"{name}.shapes"] = np.array(
            [",".join(map(str, shape)) for shape in shapes.values()]
        )
        recorded[f"{name}.features"] = features_of(network, size)
    np.savez_compressed(RECORDED / "features.npz", **recorded)


def record_types():
    base = torch.arange(6).reshape(2, 3)
    dtypes = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    content = {
        "tensors": {name: base.to(getattr(torch, name)) for name in dtypes.split()},
        "transposed": base.T,
        "part": base[1, 1:],
        "parameter": parameter,
        "step": 3,
        "optimizer": torch.optim.SGD([parameter], 0.5, momentum=0.9).state_dict(),
    }
    torch.save(content, RECORDED / "types_zip.pth")
    torch.save(
        content, RECORDED / "types_legacy.pth", _use_new_zipfile_serialization=False
    )


if __name__ == "__main__":
    RECORDED.mkdir(exist_ok=True)
    record_features()
    record_types()
