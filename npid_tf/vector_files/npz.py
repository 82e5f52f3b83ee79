"""NumPy's .npz: `embeddings`, `ids`, and where there are some `labels`, `class_names`.

Of others' files too, `embeddings` or `vectors`, or the one array [n, dim] there is;
`ids` or `paths`. Arrays of Python objects are refused: they would run as code.
"""

import json
import zipfile

import numpy as np

from npid_tf.errors import FileError
from npid_tf.files.whole_files import open_whole
from npid_tf.vector_files.format import Format, blocks, checked


def _write(path, vectors):
    arrays = {"ids": np.array(vectors.ids, str)}
    if vectors.labels is not None:
        arrays["labels"] = vectors.labels
    if vectors.class_names is not None:
        arrays["class_names"] = np.array(vectors.class_names, str)
    arrays["about"] = np.array(json.dumps(vectors.about))
    with open_whole(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open("embeddings.npy", "w", force_zip64=True) as member:
            write_array(member, vectors.embeddings)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def write_array(file, embeddings):
    """Writes float32 [n, dim] as a .npy, some rows at a time."""
    header = {"descr": "<f4", "fortran_order": False, "shape": embeddings.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for _, block in blocks(embeddings):
        file.write(block.data)


def _read(path):
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
            about = json.loads(str(arrays.get("about", "{}")))
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(
            f"{path} is damaged, or holds more than arrays of numbers and text: "
            f"{error}."
        ) from error
    name = _name_of_embeddings(path, arrays)
    ids = arrays.get("ids", arrays.get("paths"))
    labels, class_names = arrays.get("labels"), arrays.get("class_names")
    if labels is not None and labels.dtype.kind not in "iu":
        raise FileError(
            f"{path} must hold `labels` as whole numbers, and the name of each number "
            f"as `class_names`. Received: {labels.dtype}."
        )
    if class_names is not None:
        class_names = tuple(class_names.tolist())
    return checked(
        path,
        arrays[name],
        None if ids is None else [str(one) for one in ids.tolist()],
        None if labels is None else labels.astype(np.int64),
        class_names,
        about,
    )


def _name_of_embeddings(path, arrays):
    for name in ("embeddings", "vectors"):
        if name in arrays:
            return name
    flat = [name for name, array in arrays.items() if array.ndim == 2]
    if len(flat) != 1:
        raise FileError(
            f"{path} must hold `embeddings`, numbers [n, dim], or one such array "
            f"alone. Received: {', '.join(arrays) or 'nothing'}."
        )
    return flat[0]


FORMAT = Format(".npz", _write, _read)
