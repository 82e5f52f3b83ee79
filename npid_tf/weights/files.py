"""Files of named arrays: PyTorch's (read without PyTorch), safetensors and .npz."""

import io
import math
import os
import pickle
import struct
import zipfile

import numpy as np
import safetensors.numpy

from npid_tf.errors import UserError
from npid_tf.files.whole_files import open_whole
from npid_tf.weights.pickle_arrays import write_pth
from npid_tf.weights.unpickle import RestrictedUnpickler

# The first two pickles of a file that PyTorch before 1.6 wrote.
_LEGACY_HEADER = (0x1950A86A20F9469CFC6C, 1001)


def read_file(path):
    """What a checkpoint holds: dicts, lists, numbers, arrays and Placeholders.

    path: .npz, .safetensors, or a file that `torch.save` wrote in any version from 0.3
    on. Arrays are not to be written to.
    Raises ValueError if it is not one, or if it asks for functions to be run.
    """
    if not os.path.isfile(path):
        raise UserError(f"No file {path}.")
    try:
        with open(path, "rb") as file:
            refused, content = _read(file)
    except Exception as error:  # A damaged pickle can raise anything.
        raise UserError(
            f"{path} is neither a checkpoint of PyTorch, nor .safetensors, nor .npz "
            f"of arrays, or it is damaged: {type(error).__name__}: {error}."
        ) from error
    if refused:
        raise UserError(
            f"{path} asks for {', '.join(sorted(set(refused)))}, which is neither an "
            "array nor a plain container: refused, nothing of it was run. If you trust "
            "the file, save only its state_dict with PyTorch."
        )
    return content


def _read(file):
    # The size of its header, and then JSON; no pickle has a brace there.
    if file.read(9)[8:] == b"{":
        return [], safetensors.numpy.load_file(file.name)
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return _read_legacy(file)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        _check_sizes(archive, os.fstat(file.fileno()).st_size)
        if all(name.endswith(".npy") for name in names):
            _check_arrays(archive)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return [], dict(arrays)
        return _read_zip(archive, names)


# A compressed array may be this many times its size in the file; deflate gives 1,032.
_MOST_EXPANDED = 20


def _check_sizes(archive, size):
    """Raises UserError if members say they are far larger than the file could hold.

    zipfile reads no more of a member than it says.
    """
    total = sum(info.file_size for info in archive.infolist())
    if total > _MOST_EXPANDED * size + (64 << 20):
        raise UserError(f"its {size} bytes would become {total}")


def _check_arrays(archive):
    """Raises UserError if an array's header in an .npz promises more than follows."""
    for info in archive.infolist():
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise UserError(f"{info.filename} is of .npy's version {version}")
            shape, _, dtype = read_header(file)
        claimed = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and claimed > info.file_size:  # Objects: np.load's.
            raise UserError(
                f"{info.filename} is to be {list(shape)} of {dtype} in "
                f"{info.file_size} bytes"
            )


def _read_zip(archive, names):
    """PyTorch since 1.6: FOLDER/data.pkl and a file FOLDER/data/KEY per storage."""
    [record] = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
    folder = record.removesuffix("data.pkl")
    if (
        f"{folder}byteorder" in names
        and archive.read(f"{folder}byteorder") != b"little"
    ):
        raise UserError("it is big-endian")
    storages = {}

    def load_storage(dtype, key, count, view):
        if key not in storages:
            info = archive.getinfo(f"{folder}data/{key}")
            if info.compress_type != zipfile.ZIP_STORED:  # As PyTorch's never are.
                raise UserError(f"its storage {key} is compressed")
            storages[key] = archive.read(info)
        return np.frombuffer(storages[key], dtype, count)

    unpickler = RestrictedUnpickler(io.BytesIO(archive.read(record)), load_storage)
    content = unpickler.load()
    return unpickler.refused, content


def _read_legacy(file):
    """PyTorch before 1.6: pickles in a row, and then the values of the storages."""
    size = os.fstat(file.fileno()).st_size
    storages = {}
    stored = 0

    def load_storage(dtype, key, count, view):
        nonlocal stored
        if key not in storages:  # Its values come after the pickles.
            stored += count * dtype.itemsize if type(count) is int else -1
            if type(count) is not int or count < 0 or stored > size:
                raise UserError(f"a storage of {count} values is larger than the file")
            storages[key] = np.empty(count, dtype)
        if view is None:
            return storages[key]
        _, first, length = view
        return storages[key][first : first + length]

    unpicklers = [RestrictedUnpickler(file, load_storage) for _ in range(5)]
    magic, version, _, content, keys = (each.load() for each in unpicklers)
    if (magic, version) != _LEGACY_HEADER:
        raise pickle.UnpicklingError(f"unknown format {magic}, {version}")
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        values = storages[key].view(np.uint8)
        if count != len(storages[key]) or file.readinto(values) != len(values):
            raise EOFError(f"the values of storage {key} are not all there")
    return [name for each in unpicklers for name in each.refused], content


def write_file(path, arrays):
    """Writes {name: float32 array, C-contiguous} as the ending of the path says.

    Written beside its place and renamed. Raises ValueError for another ending.
    """
    write = WRITERS.get(os.path.splitext(path)[1])
    if write is None:
        *endings, last = WRITERS
        raise UserError(
            f"`output` must end in {', '.join(endings)} or {last}. Received: {path}."
        )
    with open_whole(path, "wb") as file:
        write(file, arrays)


def _write_npz(file, arrays):
    np.savez(file, **arrays)


def _write_safetensors(file, arrays):
    file.write(safetensors.numpy.save(arrays))


WRITERS = {
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
    ".pth": write_pth,  # `torch.load` reads it.
}
