"""The arrays of an encoder under torchvision's names, in PyTorch's layout."""

import dataclasses

import keras
import numpy as np

_ARRAYS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclasses.dataclass
class Report:
    """What became of each array of a file and each of an encoder, by name."""

    matched: list  # of these, those in `reshaped` have their values in another order
    reshaped: list  # texts that say how
    unmatched: list  # in the file, not in the encoder
    unset: list  # in the encoder, not in the file or of another shape: texts

    def lines(self):
        """As text, a line for each kind, and one for each array that is not as is."""
        count = len(self.matched) + len(self.unset)
        yield f"Matched: {len(self.matched)} of the encoder's {count} arrays."
        for kind in ("reshaped", "unmatched", "unset"):
            values = getattr(self, kind)
            yield f"{kind.capitalize()}: {len(values)}."
            yield from (f"  {value}" for value in values)


@dataclasses.dataclass(frozen=True)
class _Array:
    """A Keras variable; maps: (height, width, channels) if it reads them flat."""

    variable: keras.Variable
    maps: tuple | None

    def to_torch(self, value):
        if self.maps is not None:  # PyTorch flattens channels first.
            value = value.reshape(*self.maps, -1).transpose(3, 2, 0, 1)
            return np.ascontiguousarray(value).reshape(len(value), -1)
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[value.ndim]
        return np.ascontiguousarray(value.transpose(order))

    def from_torch(self, value):
        if self.maps is not None:
            height, width, channels = self.maps
            value = value.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
            return value.reshape(height * width * channels, -1)
        order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[value.ndim]
        return value.transpose(order)

    def torch_shape(self):
        *rest, outputs = self.variable.shape
        if len(rest) == 3:
            height, width, inputs = rest
            return outputs, inputs, height, width
        return outputs, *rest


def read_encoder(encoder):
    """{name: float32 array} of all weights: torchvision's names, the head as `fc`."""
    return {
        name: array.to_torch(np.asarray(array.variable, np.float32))
        for name, array in _arrays(encoder).items()
    }


def assign_encoder(encoder, arrays):
    """Sets the weights that `arrays`, {name: array}, has, and returns the Report."""
    report = Report([], [], [], [])
    own = _arrays(encoder)
    for name, array in own.items():
        shape = array.torch_shape()
        if name not in arrays:
            report.unset.append(f"{name} {list(shape)}: not in the file")
        elif arrays[name].shape != shape:
            report.unset.append(
                f"{name} {list(shape)}: {list(arrays[name].shape)} in the file"
            )
        else:
            value = array.from_torch(np.asarray(arrays[name], np.float32))
            array.variable.assign(value)
            report.matched.append(name)
            if array.maps is not None:
                report.reshaped.append(
                    f"{name} {list(shape)}: its {shape[1]} inputs from channels first "
                    "to channels last"
                )
    report.unmatched += [name for name in arrays if name not in own]
    return report


def _arrays(encoder):
    """{torchvision's name: _Array} of all weights of an encoder."""
    [backbone] = [layer for layer in encoder.layers if isinstance(layer, keras.Model)]
    heads = {"projection": "fc", "head_batch_norm": "fc_norm"}
    if any(layer.name == "hidden" for layer in encoder.layers):
        heads |= {"hidden": "fc.0", "projection": "fc.2"}  # As MoCo v2's.
    arrays, maps = {}, None
    for layer in [*backbone.layers, *encoder.layers]:
        if isinstance(layer, keras.layers.Flatten):
            maps = layer.input.shape[1:]
        if layer is backbone or not layer.weights:
            continue
        path = heads.get(layer.name, layer.name.removeprefix("stem."))
        is_dense = isinstance(layer, keras.layers.Dense)
        for variable in layer.weights:
            is_flat = is_dense and variable.name == "kernel" and maps is not None
            name = f"{path}.{_ARRAYS[variable.name]}"
            arrays[name] = _Array(variable, maps if is_flat else None)
        if is_dense:
            maps = None
    return arrays
