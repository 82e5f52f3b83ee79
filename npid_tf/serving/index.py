"""The index of the training images: ScaNN, with ids and a manifest of our own."""

import json
import os

import numpy as np

from npid_tf.evaluation.knn import nearest

NUM_TUNING_QUERIES = 1000


class ScannIndex:
    """Finds the training images most similar to unit embeddings.

    A folder with ScaNN's own files, `ids.json` (paths or numbers, and labels) and
    `manifest.json`. Made by `build_index`, read by `load_index`.
    """

    def __init__(self, searcher, ids, labels, manifest):
        self.searcher = searcher
        self.ids = ids
        self.labels = labels
        self.manifest = manifest

    def search(self, queries, k):
        """The k most similar images of each query, the most similar first.

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
            raise ValueError(
                f"The index holds vectors of {self.manifest['dim']} dimensions. "
                f"Received: {queries.shape[1]}."
            )
        if not 1 <= k <= len(self.ids):
            raise ValueError(
                f"`k` must be in [1, {len(self.ids)}], the images in the index. "
                f"Received: {k}."
            )
        rows, similarities = self.searcher.search_batched(
            queries, final_num_neighbors=k
        )
        missing = np.isnan(similarities)  # ScaNN pads with row 0 and NaN
        return np.where(missing, -1, rows.astype(np.int64)), similarities

    def save(self, directory):
        """Writes the index into `directory`, which must exist."""
        self.searcher.serialize(directory, relative_path=True)
        _write_json(directory, "ids.json", {"ids": self.ids, "labels": self.labels})
        _write_json(directory, "manifest.json", self.manifest)


def build_index(vectors, ids, labels, recall_k, **description):
    """Indexes the training images and measures what approximation costs.

    Args:
        vectors: float32 [num_instances, dim], unit length.
        ids: a path or number for every row.
        labels: a class name for every row, or None.
        recall_k: neighbors for which recall against exact search is measured.
        **description: what else the manifest tells, as which encoder made the vectors.

    Returns:
        ScannIndex; its manifest holds the description, n, dim, settings and recall.

    Raises:
        ImportError: without scann.
    """
    scann = import_scann()
    settings = choose_settings(len(vectors), recall_k)
    builder = scann.scann_ops_pybind.builder(vectors, recall_k, "dot_product")
    if settings["kind"] == "brute force":
        builder = builder.score_brute_force()
    else:
        if settings["leaves"] is not None:
            builder = builder.tree(
                settings["leaves"],
                settings["leaves_to_search"],
                training_sample_size=min(len(vectors), 100_000),
            )
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2)
        builder = builder.reorder(settings["reordered"])
    manifest = {
        **description,
        "n": len(vectors),
        "dim": vectors.shape[1],
        "settings": settings,
        "recall": {"k": recall_k},
    }
    index = ScannIndex(builder.build(), ids, labels, manifest)
    manifest["recall"]["value"] = measure_recall(index, vectors, recall_k)
    return index


def choose_settings(n, k):
    """ScaNN's settings for n vectors and k neighbors, by ScaNN's own guidance.

    Up to 20,000 vectors exact search, then quantized vectors of which the best are
    scored again exactly, beyond 100,000 in a tree of about sqrt(n) leaves.
    """
    if n <= 20_000:
        return {"kind": "brute force"}
    leaves = round(n**0.5) if n > 100_000 else None
    return {
        "kind": "quantized" if leaves is None else "tree",
        "leaves": leaves,
        "leaves_to_search": None if leaves is None else max(1, leaves // 10),
        "reordered": max(200, 15 * k),
    }


def measure_recall(index, vectors, k):
    """Part of the true k nearest that the index finds, over rows taken as queries."""
    step = max(1, len(vectors) // NUM_TUNING_QUERIES)
    queries = vectors[::step][:NUM_TUNING_QUERIES]
    _, exact = nearest(queries, vectors, k)
    found, _ = index.search(queries, k)
    hits = [len(np.intersect1d(*pair)) for pair in zip(exact, found, strict=True)]
    return float(np.mean(hits) / k)


def load_index(directory):
    """The ScannIndex in `directory`.

    Raises ValueError where there is none, ImportError without scann.
    """
    scann = import_scann()
    if not os.path.isfile(os.path.join(directory, "manifest.json")):
        raise ValueError(
            f"No index in {directory}. Make one with `python -m npid_tf.export`."
        )
    ids = _read_json(directory, "ids.json")
    return ScannIndex(
        scann.scann_ops_pybind.load_searcher(directory),
        ids["ids"],
        ids["labels"],
        _read_json(directory, "manifest.json"),
    )


def import_scann():
    """The module scann. Raises ImportError that says how to install it."""
    # Imported here, so that all else works where its compiled ops do not load.
    try:
        import scann
    except ImportError as error:
        raise ImportError(
            "The index needs ScaNN: pip install scann==1.4.2 (Linux; it fits "
            "TensorFlow 2.20 alone). The exported `neighbors` model searches without."
        ) from error
    return scann


def _write_json(directory, name, value):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
        json.dump(value, file)


def _read_json(directory, name):
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return json.load(file)
