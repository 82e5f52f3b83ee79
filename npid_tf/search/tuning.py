"""How hard an index must search: recall and latency of settings, and the choice."""

import time

import numpy as np

from npid_tf.errors import UserError
from npid_tf.search.nearest import nearest

NUM_QUERIES = 1000
# Similarities of equal vectors differ by rounding, in ScaNN's order of the sums and in
# TensorFlow's: a found row this close to the k-th nearest is as good as that.
TIE = 1e-5


class Trials:
    """Queries whose true neighbors are known, to measure an index with.

    A row of the index as a query would find itself, which says nothing: it is taken
    out, both of the true neighbors and of the found ones. Rows stay a little easier
    than other images, since leaves and codes were fitted to them too.

    Args:
        vectors: float32 [num_instances, dim], in the index.
        k: neighbors.
        queries: float32 [num_queries, dim], of other images; None: rows of `vectors`.
    """

    def __init__(self, vectors, k, queries=None):
        self.vectors = vectors
        if queries is None:
            self.own_rows = _spread(np.arange(len(vectors)))
            self.queries = vectors[self.own_rows]
            self.k = min(k, len(vectors) - 1)
            self.description = f"{len(self.queries)} rows of the index, each without it"
        else:
            self.own_rows = None
            self.queries = _spread(queries)
            self.k = k
            self.description = f"{len(self.queries)} images that are not in the index"
        self.num_searched = self.k + (self.own_rows is not None)
        # No vector is nearer to a row than itself, so of k + 1 the last is the k-th of
        # the others. It alone counts: equal vectors may come in any order.
        similarities, _ = nearest(self.queries, vectors, self.num_searched)
        self.least = similarities[:, -1]

    def measure(self, index):
        """Searches one query after the other.

        Returns:
            dict of recall, its standard error, and the median milliseconds of a query.
        """
        found, seconds = [], []
        for query in self.queries:
            start = time.perf_counter()
            rows, _ = index.search(query[None], self.num_searched)
            seconds.append(time.perf_counter() - start)
            found.append(rows[0])
        recalls = self._recalls(np.stack(found))
        return {
            "recall": float(recalls.mean()),
            "standard_error": float(recalls.std() / np.sqrt(len(recalls))),
            "ms_per_query": 1e3 * float(np.median(seconds)),
        }

    def _recalls(self, rows):
        similarities = np.einsum("qd,qkd->qk", self.queries, self.vectors[rows])
        near = similarities >= self.least[:, None] - TIE
        others = rows >= 0
        if self.own_rows is not None:
            others &= rows != self.own_rows[:, None]
        return np.minimum((near & others).sum(axis=1), self.k) / self.k


def _spread(rows):
    """At most NUM_QUERIES of the rows, equally far apart."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), NUM_QUERIES)).astype(int)]


def candidates(settings, k):
    """All settings to try for an index: what is the same of all, with each effort."""
    if settings["kind"] == "brute force":
        return [settings]
    reordered = [{"reordered": factor * k} for factor in (8, 16, 32, 64)]
    if settings["kind"] == "quantized":
        return [{**settings, **effort} for effort in reordered]
    leaves = settings["leaves"]
    searched = np.unique(np.geomspace(max(1, leaves / 300), leaves, 20).round())
    return [
        {**settings, "leaves_to_search": int(number), **effort}
        for number in searched
        for effort in reordered
    ]


def reaches(entry, target):
    """Whether the recall of an entry of a curve is the target at least.

    By two standard errors, so that other queries reach it too.
    """
    return entry["recall"] - 2 * entry["standard_error"] >= target


def choose(curve, target, k):
    """The fastest entry of the curve whose recall `reaches` the target.

    Raises:
        ValueError: if none does.
    """
    good = [entry for entry in curve if reaches(entry, target)]
    if good:
        return min(good, key=lambda entry: entry["ms_per_query"])
    best = max(curve, key=lambda entry: entry["recall"])
    raise UserError(
        f"The index misses --recall={target}: the best of its settings, "
        f"{best['settings']}, has a recall@{k} of {best['recall']:.4f}, and less two "
        f"standard errors {best['recall'] - 2 * best['standard_error']:.4f}. Lower "
        "--recall, or keep the vectors more exactly, as with --index_dtype=float32."
    )
