"""What to do with a pile of images: groups of copies, outliers, a diverse subset."""

import numpy as np
from scipy import sparse

from npid_tf.checks.arguments import whole_number
from npid_tf.command_line.progress import progress

ROWS_AT_ONCE = 65_536
AHEAD = 64  # rows that are compared with all others at once, for `diverse_subset`


def groups(first, second, num_rows):
    """The rows that pairs connect, also through others: a list of arrays.

    first, second: the rows of each pair. The largest group comes first, of equals that
    of the lowest row; rows ascend.
    """
    ones = np.ones(len(first), bool)
    graph = sparse.coo_array((ones, (first, second)), shape=(num_rows, num_rows))
    _, numbers = sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(numbers, kind="stable")
    found = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    found = [rows for rows in found if len(rows) > 1]
    return sorted(found, key=lambda rows: (-len(rows), rows[0]))


def outliers(similarities, count):
    """(rows, their mean similarity to their nearest others), the least similar first.

    similarities: [num_rows, k], to the k nearest others of each row; count: at most.
    """
    means = similarities.mean(axis=1)
    rows = np.argsort(means, kind="stable")[:count]
    return rows, means[rows]


def true_outliers(search, similarities, count):
    """The same of the true nearest, where ScaNN found those of `similarities`.

    What is far from all others is where it misses most. It never finds nearer ones than
    there are, so that the true outliers are among the first that it names.

    search: `NeighborSearch`.
    """
    candidates, _ = outliers(similarities, 2 * count)
    order, means = outliers(search.exactly(candidates)[0], count)
    return candidates[order], means


def diverse_subset(vectors, size):
    """Rows such that every row is near one of them: farthest-first (Gonzalez 1985).

    It begins with the row nearest to the mean, and goes on with the row that is the
    least similar to all chosen so far. The angle between a row and its nearest chosen
    one is at most twice what the best subset of that size has.

    Time grows with size x num_rows x dim at worst, and is several times less where many
    rows are far away at once, which are compared together. Memory: AHEAD x num_rows.

    Args:
        vectors: float32 [num_rows, dim], unit length, in memory or in a file.
        size: rows to choose; of fewer rows, all.

    Returns:
        (rows, similarities, covered): the rows in the order of choice; the similarity
        of each to its nearest before, NaN for the first; the least similarity of any
        row to its nearest chosen one.
    """
    size = min(whole_number("size", size, 1), len(vectors))
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in _blocks(vectors))
    row = int(_products(vectors, mean[None].astype(np.float32))[0].argmax())
    chosen, nearest = [row], [np.nan]
    similarities = {row: _products(vectors, vectors[row : row + 1])[0]}
    closest = similarities[row].copy()  # Of each row to its nearest chosen one.
    closest[row] = np.inf  # It is not chosen again.
    with progress("Choosing a diverse subset", size) as bar:
        bar.update()
        while len(chosen) < size:
            row = int(closest.argmin())
            if row not in similarities:
                count = min(AHEAD, len(vectors))
                ahead = np.argpartition(closest, count - 1)[:count]
                ahead = np.union1d(ahead, [row])
                products = _products(vectors, vectors[ahead])
                similarities = dict(zip(ahead.tolist(), products, strict=True))
            chosen.append(row)
            nearest.append(closest[row])
            np.maximum(closest, similarities[row], out=closest)
            closest[row] = np.inf
            bar.update()
    least = closest.min()
    return np.array(chosen), np.array(nearest), 1.0 if np.isinf(least) else float(least)


def _blocks(vectors):
    for first in range(0, len(vectors), ROWS_AT_ONCE):
        yield vectors[first : first + ROWS_AT_ONCE]


def _products(vectors, queries):
    """float32 [num_queries, num_rows]."""
    return np.concatenate([queries @ block.T for block in _blocks(vectors)], axis=1)
