"""A PyTorch state dict, written without PyTorch: a pickle and the values beside it.

For programs that know `torch.load` and no safetensors.
"""

import pickle
import struct
import zipfile

_FUNCTION = {
    "dict": b"ccollections\nOrderedDict\n",
    "tensor": b"ctorch._utils\n_rebuild_tensor_v2\n",
    "storage": b"ctorch\nFloatStorage\n",
}


def write_pth(file, arrays):
    """Writes {name: float32 array, C-contiguous} to a binary file, for `torch.load`."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle_arrays(arrays))
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")


def pickle_arrays(arrays):
    """A pickle that `torch.load` reads as a state dict.

    arrays: {name: float32 array, C-contiguous}; the values of the i-th one are to be in
    the storage with the key i. Returns bytes.
    """
    empty_dict = _FUNCTION["dict"] + pickle.EMPTY_TUPLE + pickle.REDUCE
    parts = [pickle.PROTO + b"\x02", empty_dict, pickle.MARK]
    for key, (name, array) in enumerate(arrays.items()):
        strides = [step // array.itemsize for step in array.strides]
        storage = _tuple(
            _text("storage"),
            _FUNCTION["storage"],
            _text(str(key)),
            _text("cpu"),
            _integer(array.size),
        )
        arguments = _tuple(
            storage + pickle.BINPERSID,
            _integer(0),  # If in the storage it begins.
            _tuple(*map(_integer, array.shape)),
            _tuple(*map(_integer, strides)),
            pickle.NEWFALSE,  # No gradient,
            empty_dict,  # and no hooks.
        )
        parts += [_text(name), _FUNCTION["tensor"], arguments, pickle.REDUCE]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _text(text):
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(number):
    return pickle.BININT + struct.pack("<i", number)


def _tuple(*items):
    return pickle.MARK + b"".join(items) + pickle.TUPLE
