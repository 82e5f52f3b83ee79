"""A segment: the immutable part of a live index, on disk, with ScaNN or without."""

import os

import numpy as np

from npid_tf.errors import FileError
from npid_tf.search.index_files import REMEDY, read_ids, write_ids
from npid_tf.search.scann_index import ScannIndex, import_scann, load_searcher
from npid_tf.search.stored_vectors import StoredVectors


class Segment:
    """An index that never changes, written by an export or a compaction.

    Args:
        directory: written by `ScannIndex.save` or `build_segment`.

    Attributes:
        ids: list of str. labels: list of str or None. vectors: `StoredVectors`.
        scann: ScannIndex, or None: exact search.
        why_exact: the reason, as text, if scann is None.
        is_exact: whether a search compares every stored vector.

    Raises:
        ValueError: if there is no index, or one of its files is damaged.
    """

    def __init__(self, directory):
        ids, labels, self.manifest = read_ids(directory, verify=True)
        self.ids = [str(name) for name in ids]
        self.labels = [None] * len(ids) if labels is None else labels
        self.vectors = StoredVectors(directory, self.manifest["dim"])
        if len(self.vectors) != len(ids):
            raise FileError(
                f"{directory} is damaged: it has {len(self.vectors)} vectors for "
                f"{len(ids)} items. {REMEDY}"
            )
        self.scann, self.why_exact = None, None
        kind = self.manifest["settings"]["kind"]
        if kind == "exact":
            self.why_exact = self.manifest["settings"].get("reason", "")
        else:
            try:
                searcher = load_searcher(directory)
                self.scann = ScannIndex(searcher, ids, labels, self.manifest)
            except ImportError as error:
                self.why_exact = str(error)
        self.is_exact = self.scann is None or kind == "brute force"


def build_segment(directory, vectors, ids, labels, like):
    """Writes an index of the vectors into an empty folder.

    It is built like the one it replaces: the same dtype, tuned to the same recall for
    the same k, on its own rows. If ScaNN is missing, or there are fewer than two items,
    the folder holds plain vectors for exact search.

    Args:
        vectors: float32 [num_items, dim]; ids, labels: of each.
        like: the manifest of the index it replaces.

    Raises:
        ValueError: if no setting reaches that recall.
    """
    labels = None if all(label is None for label in labels) else labels
    settings, recall = like["settings"], like["recall"]
    description = {key: like[key] for key in ("encoder_hash", "data") if key in like}
    reason = _why_no_scann(len(ids))
    if reason is None:
        from npid_tf.search.builder import build_scann_index  # Needs TensorFlow.

        index = build_scann_index(
            vectors,
            ids,
            labels,
            recall["k"],
            recall["target"],
            settings["dtype"],
            **description,
        )
        index.save(directory)
        return
    np.save(os.path.join(directory, "dataset.npy"), vectors)
    manifest = {
        **description,
        "n": len(ids),
        "dim": vectors.shape[1],
        "settings": {"kind": "exact", "dtype": settings["dtype"], "reason": reason},
        "recall": {**recall, "value": 1.0},
    }
    write_ids(directory, ids, labels, manifest)


def _why_no_scann(n):
    if n < 2:
        return "ScaNN's index needs at least 2 items."
    try:
        import_scann()
    except ImportError as error:
        return str(error)
    return None
