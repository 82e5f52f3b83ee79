"""Files of embeddings with their ids and labels, by the end of their name.

To add a format: a file here with a FORMAT, and a line in FORMATS.
"""

import os

from npid_tf.errors import FileError, UserError
from npid_tf.vector_files import jsonl, npy, npz, parquet
from npid_tf.vector_files.format import Format, Vectors

__all__ = ["FORMATS", "Format", "Vectors", "get_format", "read_vectors"]

FORMATS = {
    format.suffix: format
    for format in (npz.FORMAT, npy.FORMAT, parquet.FORMAT, jsonl.FORMAT)
}


def get_format(path, name="out"):
    """The format that a path ends with.

    name: of the flag that holds the path. Raises UserError for another end.
    """
    for suffix, found in FORMATS.items():
        if path.lower().endswith(suffix):
            return found
    known = ", ".join(f"FILE{suffix}" for suffix in FORMATS)
    raise UserError(f"`{name}` must be a file: {known}. Received: {path}.")


def read_vectors(path, name="embeddings"):
    """`Vectors` of a file that `npid embed` wrote, or that others did.

    What files of others must hold, each format says: npz.py, npy.py, parquet.py and
    jsonl.py. Where they have no ids, an id is the number of its row.

    name: of the flag that holds the path. Raises UserError for another kind of file,
    FileError for one that is missing or damaged, of a newer format, or lacks something.
    """
    found = get_format(path, name)
    if not os.path.isfile(path):
        raise FileError(f"No file {path}: `{name}` must be one of embeddings.")
    try:
        return found.read(path)
    except UserError:
        raise
    except OSError as error:
        # Arrow's errors have no strerror.
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
