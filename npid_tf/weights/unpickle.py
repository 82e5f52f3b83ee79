"""Reads PyTorch's pickles without running anything in them.

A pickle is a program: it names functions and calls them. Here a name stands for an
array, a plain container or a `Placeholder`, which does nothing; no name is imported.

Ours, and not `torch.load(weights_only=True)`: PyTorch takes 200 MB to 2 GB, and it
refuses the authors' checkpoints, whose bank lies in a pickled module.
"""

import collections
import math
import pickle
import pickletools

import numpy as np
import tensorflow as tf

from npid_tf.errors import UserError

_DTYPES = {
    "DoubleStorage": np.dtype("float64"),
    "FloatStorage": np.dtype("float32"),
    "HalfStorage": np.dtype("float16"),
    "BFloat16Storage": np.dtype(tf.bfloat16.as_numpy_dtype),
    "LongStorage": np.dtype("int64"),
    "IntStorage": np.dtype("int32"),
    "ShortStorage": np.dtype("int16"),
    "CharStorage": np.dtype("int8"),
    "ByteStorage": np.dtype("uint8"),
    "BoolStorage": np.dtype("bool"),
}
# What checkpoints hold besides arrays: modules, optimizer states, logs, settings.
_PLACEHOLDERS = (
    *("torch.", "numpy.", "lib.", "alias_multinomial.", "mmcv.", "mmengine."),
    *("_codecs.encode", "builtins.getattr", "argparse.Namespace"),
    *("collections.defaultdict", "collections.Counter"),
)


class Placeholder:
    """An object of a class that is not read: takes everything and does nothing."""

    state = None  # What its class would have been restored from.

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        self.state = state

    def __setitem__(self, key, value):
        pass

    def extend(self, values):
        pass


def rebuild_tensor(storage, offset, size, stride, *ignored):
    """A view of a storage as an array. Raises ValueError if it would leave it."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise UserError("a tensor has no storage")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(
        type(number) is int and number >= 0 for number in numbers
    ):
        raise UserError(f"a tensor has offset {offset}, size {size}, stride {stride}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= len(storage):
        raise UserError(f"a tensor ends at {last} of {len(storage)} stored values")
    # Strides of 0, as of expanded tensors, make an array of any size of one value.
    if 0 not in size and math.prod(size) > max(len(storage), 1 << 20):
        raise UserError(f"a tensor of size {size} has {len(storage)} stored values")
    if 0 in size:
        return np.empty(size, storage.dtype)
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(
        storage[offset:], size, steps, writeable=False
    )


# Everything that a pickle may call.
_ALLOWED = {
    "collections.OrderedDict": collections.OrderedDict,
    "builtins.set": set,
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *ignored: tensor,
}
_PYTHON_2 = {"__builtin__": "builtins"}


class RestrictedUnpickler(pickle.Unpickler):
    """Reads a pickle of arrays and plain containers.

    `refused` lists what else it asked for: a Placeholder stands for it, and the reader
    of the file is to raise.

    Args:
        file: binary file.
        load_storage: function of (dtype, key, number of values, view or None) to the
            array [number of values] that the pickle refers to.
    """

    def __init__(self, file, load_storage):
        super().__init__(file, encoding="latin1")  # Python 2 wrote bytes as strings.
        self.file = file
        self.load_storage = load_storage
        self.refused = []

    def load(self):
        self._check_memo()
        return super().load()

    def _check_memo(self):
        # Python's unpickler makes room for any number that an object is remembered by,
        # up to 34 GB for five bytes. Honest ones count the objects.
        start = self.file.tell()
        opcodes = pickletools.genops(self.file)
        for count, (opcode, number, _) in enumerate(opcodes, 1):
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and number > 2 * count:
                raise UserError(f"object {count} is remembered as number {number}")
        self.file.seek(start)

    def find_class(self, module, name):
        module = _PYTHON_2.get(module, module)
        full_name = f"{module}.{name}"
        if full_name in _ALLOWED:
            return _ALLOWED[full_name]
        if module in ("torch", "torch.cuda") and name in _DTYPES:
            return _DTYPES[name]
        if not full_name.startswith(_PLACEHOLDERS):
            self.refused.append(full_name)
        return type("Placeholder", (Placeholder,), {})

    def persistent_load(self, pid):
        kind, *rest = pid
        if kind == "module":  # A class, its file and its source.
            return rest[0]
        dtype, key, _, count, *view = rest
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise UserError(f"unknown storage {kind!r} of {dtype!r}")
        return self.load_storage(dtype, key, count, view[0] if view else None)
