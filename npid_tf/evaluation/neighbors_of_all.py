"""The nearest rows of every row, of any number of rows: no sample of them.

Up to some number of rows all pairs are compared. Beyond it ScaNN searches, no more than
a recall demands, which is measured on rows of its own. Memory is a few times that of
the rows, and of num_rows x k.
"""

import bisect
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from npid_tf.command_line.progress import progress
from npid_tf.errors import MissingPackageError, UserError
from npid_tf.search import tuning
from npid_tf.search.builder import build_searcher, choose_settings
from npid_tf.search.nearest import nearest
from npid_tf.search.nearest_on_devices import gpus
from npid_tf.search.scann_index import ScannIndex, import_scann

EXACT_UP_TO = 50_000
EXACT_UP_TO_ON_GPUS = 1_000_000
RECALL = 0.98
QUERIES_AT_ONCE = 1024
BLOCKS_AT_ONCE = 16


class NeighborSearch:
    """Finds the k nearest of some rows, for every query.

    Args:
        vectors: float32 [num_rows, dim], unit length.
        k: neighbors of each, fewer than there are rows.

    Attributes:
        recall: part of the k nearest that is found: 1.0 where all pairs are compared,
            else measured on rows, each without itself.
        how: how they are found, in a few words.
    """

    def __init__(self, vectors, k):
        if not 1 <= k < len(vectors):
            raise UserError(
                f"`k` must be in [1, {len(vectors)}), the rows. Received: {k}."
            )
        self.vectors, self.k = vectors, k
        self.recall, self.how, self._index = 1.0, "all pairs compared", None
        if len(vectors) > (EXACT_UP_TO_ON_GPUS if gpus() else EXACT_UP_TO):
            try:
                import_scann()
            except MissingPackageError as error:
                warnings.warn(
                    f"All pairs are compared, which takes long: {error}", stacklevel=2
                )
                return
            self._index, self.recall = _tuned(vectors, k)
            self.how = f"ScaNN, recall@{k} {self.recall:.3f}"

    def of(self, queries):
        """The k nearest rows of each query: (similarities, rows), [num_queries, k]."""
        return self._search(queries, self.k)

    def of_all(self):
        """The k nearest others of each row: (similarities, rows), [num_rows, k]."""
        similarities, rows = self._search(self.vectors, self.k + 1)
        return _without(np.arange(len(rows)), similarities, rows)

    def exactly(self, some):
        """The same of some rows, [num_some, k], each compared with all."""
        found = nearest(self.vectors[some], self.vectors, self.k + 1)
        return _without(some, *found)

    def _search(self, queries, k):
        if self._index is None:
            similarities, rows = nearest(queries, self.vectors, k)
            return similarities, rows.astype(np.int64)
        similarities = np.empty([len(queries), k], np.float32)
        rows = np.empty([len(queries), k], np.int64)

        def search(first):
            some = slice(first, first + QUERIES_AT_ONCE)
            block = np.ascontiguousarray(queries[some])
            rows[some], similarities[some] = self._index.search(block, k)

        with (
            progress("Finding neighbors", len(queries)) as bar,
            ThreadPoolExecutor() as pool,
        ):
            firsts = range(0, len(queries), QUERIES_AT_ONCE)
            for _ in pool.map(search, firsts):  # Raises what was raised in a thread.
                bar.update(QUERIES_AT_ONCE)
        lacking = np.flatnonzero((rows < 0).any(axis=1))
        if len(lacking):  # The search met too few candidates.
            similarities[lacking], rows[lacking] = nearest(
                queries[lacking], self.vectors, k
            )
        return similarities, rows


def _tuned(vectors, k):
    """(a `ScannIndex`, its recall): the least effort that has the recall, or the most
    there is."""
    settings = choose_settings(len(vectors), "float32")
    searcher = build_searcher(
        import_scann().scann_ops_pybind.builder, vectors, k + 1, settings
    )
    trials = tuning.Trials(vectors, k)
    efforts = tuning.candidates(settings, k + 1)
    # Of each number of leaves the setting that scores the most of them again.
    efforts = efforts[3::4] if settings["kind"] == "tree" else efforts
    found = {}

    def reaches(number):
        manifest = {
            "n": len(vectors),
            "dim": vectors.shape[1],
            "settings": efforts[number],
            "recall": {"k": k + 1},
        }
        index = ScannIndex(searcher, range(len(vectors)), None, manifest)
        measured = trials.measure(index)
        bar.update()
        found[number] = index, measured["recall"]
        return tuning.reaches(measured, RECALL)

    with progress("Tuning the search", unit="settings") as bar:
        # Recall grows with the effort: by halves.
        least = bisect.bisect_left(range(len(efforts) - 1), True, key=reaches)
        if least not in found:  # The most there is.
            reaches(least)
    return found[least]


def _without(itself, similarities, rows):
    """[num_rows, k] of [num_rows, k + 1]: without the row that was searched for."""
    is_itself = rows == itself[:, None]
    # Among more than k equals of a row, it may be missing: the last one goes then.
    is_itself[~is_itself.any(axis=1), -1] = True
    shape = len(rows), rows.shape[1] - 1
    return similarities[~is_itself].reshape(shape), rows[~is_itself].reshape(shape)
