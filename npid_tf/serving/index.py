"""The index of the training images: ScaNN, with ids and a manifest of our own."""

import json
import os

import numpy as np

from npid_tf.errors import MissingPackageError, UserError


class ScannIndex:
    """Finds the training images most similar to unit embeddings.

    A folder with ScaNN's own files, `ids.json` (paths or numbers, and labels) and
    `manifest.json`. Made by `build_index` (builder.py), read by `load_index`.
    """

    def __init__(self, searcher, ids, labels, manifest):
        self.searcher = searcher
        self.ids = ids
        self.labels = labels
        self.manifest = manifest

    def search(self, queries, k):
        """The k most similar images of each query, the most similar first.

        The settings are those tuned for the k of the export; beyond it the recall is
        not known.

        Args:
            queries: float32 [num_queries, dim], unit length.
            k: neighbors, at most the images in the index.

        Returns:
            (rows, similarities): int64 and float32 [num_queries, k]; -1 and NaN where
            the search met fewer than k candidates.

        Raises:
            ValueError: where k or the dimension does not fit.
        """
        if queries.shape[1] != self.manifest["dim"]:
            raise UserError(
                f"The index holds vectors of {self.manifest['dim']} dimensions. "
                f"Received: {queries.shape[1]}."
            )
        if not 1 <= k <= len(self.ids):
            raise UserError(
                f"`k` must be in [1, {len(self.ids)}], the images in the index. "
                f"Received: {k}."
            )
        rows, similarities = self.searcher.search_batched(
            queries, final_num_neighbors=k, **search_effort(self.manifest, k)
        )
        # ScaNN pads with row 0 and NaN, but only up to the query that found the most.
        rows = np.where(np.isnan(similarities), -1, rows.astype(np.int64))
        lacking = k - rows.shape[1]
        if lacking:
            rows = np.pad(rows, ((0, 0), (0, lacking)), constant_values=-1)
            similarities = np.pad(
                similarities, ((0, 0), (0, lacking)), constant_values=np.nan
            )
        return rows, similarities

    def save(self, directory):
        """Writes the index into `directory`, which must exist and be empty.

        ScaNN writes the vectors once, as they are kept.
        """
        self.searcher.serialize(directory, relative_path=True)
        write_ids(directory, self.ids, self.labels, self.manifest)


def search_effort(manifest, k):
    """How hard ScaNN must search for k neighbors: arguments of its searches."""
    settings = manifest["settings"]
    if settings["kind"] == "brute force":
        return {}  # With int8 vectors ScaNN crashes on any.
    factor = max(1, k / manifest["recall"]["k"])
    reordered = min(manifest["n"], round(settings["reordered"] * factor))
    effort = {"pre_reorder_num_neighbors": reordered}
    if settings["kind"] == "tree":
        effort["leaves_to_search"] = settings["leaves_to_search"]
    return effort


def load_index(directory):
    """The ScannIndex in `directory`.

    Raises ValueError where there is none, ImportError without scann.
    """
    scann = import_scann()
    ids, labels, manifest = read_ids(directory)
    if os.path.exists(os.path.join(directory, "scann_docids.pkl")):
        raise UserError(
            f"{directory} holds scann_docids.pkl, which npid_tf does not write and "
            "ScaNN would run as code. Remove it."
        )
    searcher = scann.scann_ops_pybind.load_searcher(directory)
    return ScannIndex(searcher, ids, labels, manifest)


def read_ids(directory):
    """(ids, labels, manifest) of the index in `directory`, without its vectors.

    Raises ValueError where there is none.
    """
    if not os.path.isfile(os.path.join(directory, "manifest.json")):
        raise UserError(
            f"No index in {directory}. Make one with `python -m npid_tf.export`."
        )
    manifest = _read_json(directory, "manifest.json")
    return *_unpack(_read_json(directory, "ids.json"), manifest["n"]), manifest


def write_ids(directory, ids, labels, manifest):
    """Writes what `read_ids` reads. The manifest, there and here, tells the bytes of
    all other files in the folder."""
    _write_json(directory, "ids.json", _pack(ids, labels))
    manifest["bytes"] = sum(file.stat().st_size for file in os.scandir(directory))
    _write_json(directory, "manifest.json", manifest)


def import_scann():
    """The module scann. Raises ImportError that says how to install it."""
    # Imported here, so that all else works where its compiled ops do not load.
    try:
        import scann
    except ImportError as error:
        raise MissingPackageError(
            "The index needs ScaNN: pip install scann==1.4.2 (Linux; it fits "
            "TensorFlow 2.20 alone). The exported `neighbors` model searches without."
        ) from error
    return scann


def _pack(ids, labels):
    """What ids.json holds: no ids where they are the row numbers, each class once.

    A label may be None, which has no number.
    """
    if labels is not None:
        classes = sorted({label for label in labels if label is not None})
        number_of = {label: number for number, label in enumerate(classes)}
        numbers = [number_of.get(label) for label in labels]
        labels = {"classes": classes, "numbers": numbers}
    return {"ids": None if ids == list(range(len(ids))) else ids, "labels": labels}


def _unpack(packed, n):
    ids, labels = packed["ids"], packed["labels"]
    if labels is not None:
        classes = labels["classes"]
        numbers = labels["numbers"]
        labels = [None if number is None else classes[number] for number in numbers]
    return list(range(n)) if ids is None else ids, labels


def _write_json(directory, name, value):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
        json.dump(value, file, separators=(",", ":"))


def _read_json(directory, name):
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return json.load(file)
