"""`npid_tf.load_index`: the index of an export, opened to be searched."""

import os

from npid_tf.checks.arguments import folder_path
from npid_tf.files.folder_swap import standing
from npid_tf.search.index_files import MANIFEST
from npid_tf.search.live.index import LiveIndex


def load_index(path: str | os.PathLike) -> LiveIndex:
    """The index of an export and all changes made to it since, to be searched.

    It takes no lock and writes nothing. Each search follows what a server or `python -m
    npid_tf.index` writes meanwhile. Without ScaNN it searches exactly, and more slowly.
    An index in Milvus is not in a folder: see `npid_tf.search.milvus.index`.

    Args:
        path: the folder EXPORT, or EXPORT/index, or what `BuiltIndex.save` wrote.

    Returns:
        `LiveIndex`: `search(queries, k)` takes float32 [num_queries, dim] of unit
        length and returns `Neighbors`, whose ids are those of the images.

    Raises:
        ValueError: if there is no index, or a file of it is damaged.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> from npid_tf import build_index, load_index
    >>> folder = tempfile.mkdtemp()
    >>> build_index(np.eye(3), ["red.jpg", "green.jpg", "blue.jpg"], k=2).save(folder)
    >>> ids, similarities, exact = load_index(folder).search([[0.0, 0.6, 0.8]], k=2)
    >>> ids
    [['blue.jpg', 'green.jpg']]
    """
    path = folder_path("path", path)
    inner = os.path.join(path, "index")
    if os.path.isdir(standing(inner)) and not os.path.exists(
        os.path.join(path, MANIFEST)
    ):
        path = inner
    return LiveIndex(path, read_only=True)
