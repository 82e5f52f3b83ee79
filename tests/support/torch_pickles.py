"""Writes files as PyTorch's, without PyTorch, with any call in their pickles."""

import io
import pickle
import struct
import zipfile

import numpy as np

STORAGES = {"float32": "FloatStorage", "int64": "LongStorage"}


class Call:
    """In a pickle: the call of a function that it names."""

    def __init__(self, module, name, *arguments, state=None):
        self.function, self.arguments, self.state = (module, name), arguments, state


class Storage:
    """An array, or what claims to be one of `count` values."""

    def __init__(self, array, count=None):
        self.array = np.ascontiguousarray(array)
        self.count = self.array.size if count is None else count


class _Global(tuple):
    def __call__(self):
        """The pickler checks that it could be called."""


class _Pickler(pickle._Pickler):
    """Pickles arrays as PyTorch its tensors, and names that need not exist."""

    def __init__(self, file, is_legacy):
        super().__init__(file, protocol=2)
        self.is_legacy = is_legacy
        self.storages = {}

    def reducer_override(self, obj):
        if isinstance(obj, Call):
            reduced = (_Global(obj.function), obj.arguments)
            return reduced if obj.state is None else (*reduced, obj.state)
        if isinstance(obj, np.ndarray):
            stride = tuple(step // obj.itemsize for step in np.empty_like(obj).strides)
            rebuild = _Global(("torch._utils", "_rebuild_tensor_v2"))
            return rebuild, (Storage(obj), 0, obj.shape, stride, False, {})
        return NotImplemented

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = obj.array
        kind = _Global(("torch", STORAGES[obj.array.dtype.name]))
        view = (None,) if self.is_legacy else ()
        return ("storage", kind, key, "cpu", obj.count, *view)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Global):
            module, name = obj
            self.write(f"c{module}\n{name}\n".encode())
        else:
            super().save(obj, save_persistent_id)


def write_zip(path, content):
    """As PyTorch since 1.6."""
    file = io.BytesIO()
    pickler = _Pickler(file, is_legacy=False)
    pickler.dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", file.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, array in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")


def write_legacy(path, content):
    """As PyTorch before 1.6."""
    with open(path, "wb") as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        pickler = _Pickler(file, is_legacy=True)
        pickler.dump(content)
        pickle.dump(list(pickler.storages), file, protocol=2)
        for array in pickler.storages.values():
            file.write(struct.pack("<q", array.size))
            file.write(array.tobytes())
