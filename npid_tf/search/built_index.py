"""`npid_tf.build_index`: an index of anyone's embeddings, in memory."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from npid_tf.checks.arguments import is_real, one_of, whole_number
from npid_tf.errors import UserError
from npid_tf.search.builder import DTYPES, build_scann_index
from npid_tf.search.changes import check_embeddings, make_upsert
from npid_tf.search.exact import most_similar
from npid_tf.search.neighbors import Neighbors
from npid_tf.search.scann_index import ScannIndex


class BuiltIndex:
    """Finds the items most similar to unit embeddings; made by `build_index`.

    Attributes:
        manifest: dict of what was built: n, dim, settings, recall, and the curve of
            recall and latency that the settings were chosen from.
    """

    def __init__(self, index: ScannIndex, embeddings: np.ndarray):
        self.manifest = index.manifest
        self._index = index
        self._embeddings = embeddings
        labels = [None] * len(index.ids) if index.labels is None else index.labels
        self._label_of = dict(zip(index.ids, labels, strict=True))

    def __len__(self) -> int:
        return len(self._label_of)

    def labels(self, ids: Sequence[str]) -> list[str | None]:
        """The label of each id: None if it has none or is not there."""
        return [self._label_of.get(name) for name in ids]

    def search(self, queries: ArrayLike, k: int = 10) -> Neighbors:
        """The k most similar items of each query; all if there are fewer.

        queries: float32 [num_queries, dim], unit length. Raises ValueError for others
        and for a k below 1.
        """
        queries = check_embeddings(queries, self.manifest["dim"])
        k = min(whole_number("k", k, 1), len(self))
        if not len(queries):
            return Neighbors([], np.empty([0, k], np.float32), True)
        rows, similarities = self._index.search(queries, k)
        lacking = (rows < 0).any(axis=1)  # The search met too few candidates.
        if lacking.any():
            is_there = np.ones(len(self), bool)
            similarities[lacking], rows[lacking] = most_similar(
                queries[lacking], self._embeddings, is_there, k
            )
        ids = [[self._index.ids[row] for row in line] for line in rows.tolist()]
        exact = self.manifest["settings"]["kind"] == "brute force"
        return Neighbors(ids, similarities, exact or bool(lacking.all()))

    def save(self, directory: str | os.PathLike) -> None:
        """Writes what `npid_tf.load_index(directory)` reads, into a new folder.

        Raises ValueError if the folder holds something, OSError if it cannot be
        written.
        """
        os.makedirs(directory, exist_ok=True)
        if os.listdir(directory):
            raise UserError(
                f"`directory` must be new or empty. Received: {directory}, which "
                "holds files."
            )
        self._index.save(os.fspath(directory))


def build_index(
    embeddings: ArrayLike,
    ids: Sequence[str],
    *,
    labels: Sequence[str | None] | None = None,
    k: int = 10,
    recall: float = 0.95,
    dtype: str = "float32",
) -> BuiltIndex:
    """Builds a ScaNN index that searches no more than a recall demands.

    Up to 20,000 items search is exact; beyond, settings are tried on rows of the index
    until the fastest with that recall is known.

    Args:
        embeddings: float32 [num_items, dim], unit length; 2 items or more.
        ids: a str for each item, each once, as the path of its image.
        labels: a str or None for each item.
        k: neighbors for which the index is tuned.
        recall: part of the true k nearest that a search must find, in (0, 1].
        dtype: float32, bfloat16 or int8: how the vectors are kept that the last
            candidates are compared by.

    Returns:
        `BuiltIndex`, whose `search(queries, k)` returns `Neighbors`.

    Raises:
        ImportError: without scann.
        ValueError: for embeddings, ids or labels that do not fit, and if no setting
            has that recall.

    Source: Guo et al. 2020, Accelerating Large-Scale Inference with Anisotropic Vector
    Quantization (ScaNN).

    Example:

    >>> import numpy as np
    >>> from npid_tf import build_index
    >>> index = build_index(np.eye(3), ["red.jpg", "green.jpg", "blue.jpg"], k=2)
    >>> found = index.search([[0.0, 0.6, 0.8]], k=2)
    >>> found.ids
    [['blue.jpg', 'green.jpg']]
    >>> print(found.similarities, found.exact)
    [[0.8 0.6]] True
    """
    vectors = check_embeddings(embeddings)
    items = make_upsert(ids, vectors, labels, vectors.shape[1])
    k = whole_number("k", k, 1)
    if not is_real(recall) or not 0 < recall <= 1:
        raise UserError(f"`recall` must be in (0, 1]. Received: {recall!r}.")
    one_of("dtype", dtype, DTYPES)
    index = build_scann_index(
        vectors,
        items.ids,
        labels and items.labels,
        k,
        recall,
        dtype,
        encoder_hash="unknown",
        data={"sha256": hashlib.sha256(vectors.data).hexdigest()},
    )
    return BuiltIndex(index, vectors)
