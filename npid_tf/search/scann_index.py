"""The index of the training images: ScaNN, with ids and a manifest of our own."""

import os

import numpy as np

from npid_tf.errors import FileError, MissingPackageError, UserError
from npid_tf.search.index_files import REMEDY, read_ids, write_ids


class ScannIndex:
    """Finds the training images most similar to unit embeddings.

    A folder with ScaNN's own files, `ids.json` (paths or numbers, and labels) and
    `manifest.json`. Made by `build_scann_index` (builder.py), read by `load_index`.
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
            (rows, similarities): int64 and float32 [num_queries, k]; -1 and NaN if
            the search met fewer than k candidates.

        Raises:
            ValueError: if k or the dimension does not fit.
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

        ScaNN writes the vectors once, as they are kept. Raises OSError if it cannot.
        """
        try:
            self.searcher.serialize(directory, relative_path=True)
        except RuntimeError as error:  # All of it is in memory: it is the disk.
            raise FileError(f"ScaNN could not write to {directory}: {error}") from error
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

    Raises ValueError if there is none or it is damaged, ImportError without scann.
    """
    import_scann()
    ids, labels, manifest = read_ids(directory, verify=True)
    return ScannIndex(load_searcher(directory), ids, labels, manifest)


def load_searcher(directory):
    """ScaNN's searcher of an index whose files were verified.

    Raises ValueError if ScaNN cannot read it, ImportError without scann.
    """
    scann = import_scann()
    if os.path.exists(os.path.join(directory, "scann_docids.pkl")):
        raise UserError(
            f"{directory} holds scann_docids.pkl, which npid_tf does not write and "
            "ScaNN would run as code. Remove it."
        )
    try:
        return scann.scann_ops_pybind.load_searcher(directory)
    except (RuntimeError, ValueError, OSError) as error:
        raise FileError(
            f"ScaNN cannot read the index in {directory} ({error}). {REMEDY}"
        ) from error


def import_scann():
    """The module scann. Raises ImportError that says how to install it."""
    # Imported here, so that all else works if its compiled ops do not load.
    try:
        import scann
    except ImportError as error:
        raise MissingPackageError(
            "The index needs ScaNN: pip install scann==1.4.2 (Linux; it fits "
            "TensorFlow 2.20 only). The exported `neighbors` model searches without."
        ) from error
    return scann
