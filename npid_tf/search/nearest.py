"""Exact search for the nearest rows, on all cores or GPUs.

Ours, and not FAISS's: a dependency less, ties go to the lower row, a bank that is
spread over devices is read block by block, and its speed is FAISS's on two cores.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from npid_tf.checks.arguments import whole_number
from npid_tf.command_line.progress import progress
from npid_tf.errors import UserError
from npid_tf.search.nearest_on_devices import gpus, nearest_of_each

# The similarities of a thread, in bytes: 4 x the product of the two. A power of two
# for the second makes the matrix product slower, its rows then share cache lines.
QUERIES_AT_ONCE = 256
ROWS_AT_ONCE = 25_000


def nearest(queries, vectors, k):
    """The k most similar rows of each query, exactly, the most similar first.

    Rows are read once, in chunks, and only the best k so far are kept: beyond its
    arguments, memory grows only with num_queries x k. Of equals, the lower row comes
    first. Uses all GPUs, in TensorFlow; without GPUs all cores, in NumPy, which is
    faster there.

    Args:
        queries: float32 [num_queries, dim].
        vectors: float32 [num_vectors, dim], or an iterable of the blocks of rows it
            consists of, in order: a bank that is spread over devices.
        k: neighbors, at most num_vectors.

    Returns:
        (similarities, indices): float32 and int32 [num_queries, k].

    Raises:
        ValueError: if k is more than there are rows, or a number is not finite.
    """
    k = whole_number("k", k, 1)
    queries = _finite(queries, "queries")
    devices = gpus()
    if devices:
        found = nearest_of_each(queries, _chunks(vectors, queries.shape[1]), k, devices)
        similarities, rows, num_rows = found
        best = _pack(similarities, rows)
    else:
        best, num_rows = _nearest_on_cores(queries, vectors, k)
    if k > num_rows:
        raise UserError(f"`k` must be at most the {num_rows} rows. Received: {k}.")
    best.sort(axis=1)
    return _unpack(best[:, ::-1][:, :k])


def _nearest_on_cores(queries, vectors, k):
    """Keys of the k most similar rows, int64 [num_queries, k], in no order, and the
    number of all rows."""
    best = np.full([len(queries), k], WORST)
    num_rows = 0
    a_core = -(-len(queries) // os.cpu_count())
    at_once = min(QUERIES_AT_ONCE, max(1, a_core))

    def search(start):
        some = slice(start, start + at_once)
        _keep_best(best[some], queries[some], rows, num_rows)

    # A thread has a matrix product of its own: NumPy's other functions use one core.
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress("Comparing", _num_pairs(queries, vectors), "pairs") as bar,
    ):
        for rows in _chunks(vectors, queries.shape[1]):
            starts = range(0, len(queries), at_once)
            for start, _ in zip(starts, pool.map(search, starts), strict=True):
                bar.update(min(at_once, len(queries) - start) * len(rows))
            num_rows += len(rows)
    return best, num_rows


def _num_pairs(queries, vectors):
    """How many similarities there are, or None if blocks come one by one."""
    return len(queries) * len(vectors) if hasattr(vectors, "shape") else None


def _finite(array, name, dim=None):
    """float32 [rows, dim]. Raises ValueError for all else; dim: None: any."""
    try:
        array = np.asarray(array, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"`{name}` must be numbers. Received: {error}.") from error
    if array.ndim != 2 or dim not in (None, array.shape[1]):
        raise UserError(
            f"`{name}` must be numbers [rows, {dim or 'dim'}]. Received the shape "
            f"{list(array.shape)}."
        )
    if not np.isfinite(array).all():
        raise UserError(f"`{name}` must be finite. Received NaN or infinity.")
    return array


def _chunks(vectors, dim):
    for block in [vectors] if hasattr(vectors, "shape") else vectors:
        for start in range(0, len(block), ROWS_AT_ONCE):
            yield _finite(block[start : start + ROWS_AT_ONCE], "vectors", dim)


def _pack(similarities, rows):
    """int64 keys in the order of the similarities and, of equals, lower rows first."""
    bits = (similarities + np.float32(0)).view(np.int32)  # + 0: -0.0 equals 0.0
    # The bits of negative floats, as an integer, grow as the float falls.
    bits ^= (bits >> 31) & np.int32(LAST_ROW)
    return (bits.astype(np.int64) << 32) | (LAST_ROW - rows)


def _unpack(keys):
    """Similarities, float32, and rows, int32, of keys."""
    bits = (keys >> 32).astype(np.int32)
    bits ^= (bits >> 31) & np.int32(LAST_ROW)
    return bits.view(np.float32), (LAST_ROW - (keys & LAST_ROW)).astype(np.int32)


LAST_ROW = 2**31 - 1
WORST = _pack(np.float32([-np.inf]), LAST_ROW)


def _keep_best(best, queries, rows, first_row):
    """Exchanges keys in `best` for those of rows that are more similar.

    best: int64 [queries, k], of `_pack`, in no order; queries: [queries, dim];
    rows: [rows, dim], the first of which is row `first_row`.
    """
    k = best.shape[1]
    similarities = queries @ rows.T  # [queries, rows]
    # Nearly all rows fall below the k-th best so far: to look for those that do not
    # costs a fraction of any selection among all.
    threshold, _ = _unpack(best.min(axis=1))  # [queries]
    few = 8 * best.size
    is_candidate = similarities > threshold[:, None]
    if np.count_nonzero(is_candidate) > few:
        # The first rows, or nearer than all before: among themselves they are sieved.
        threshold = np.maximum(threshold, _bound(similarities, k))
        is_candidate = similarities > threshold[:, None]
    if np.count_nonzero(is_candidate) > few and len(rows) > 1:
        # Many are equal: after a half of them, the other half is no better.
        half = len(rows) // 2
        _keep_best(best, queries, rows[:half], first_row)
        _keep_best(best, queries, rows[half:], first_row + half)
        return
    found = np.flatnonzero(is_candidate)
    query, row = np.divmod(found, len(rows))
    counts = np.bincount(query, minlength=len(queries))
    column = np.arange(len(found)) - (np.cumsum(counts) - counts)[query]
    keys = np.full([len(queries), k + counts.max()], WORST)
    keys[:, :k] = best
    keys[query, k + column] = _pack(similarities.reshape(-1)[found], first_row + row)
    best[:] = np.partition(keys, -k, axis=1)[:, -k:]


def _bound(similarities, k):
    """What at least k similarities of each query exceed: float32 [queries].

    The k-th largest of the largest of each of many groups, which is little below the
    k-th largest of all and found many times faster.
    """
    num_rows = similarities.shape[1]
    num_groups = min(num_rows, max(4 * k, 1024))  # fewer are slow: NumPy's inner loop
    if num_groups < k:
        return np.full(len(similarities), -np.inf, np.float32)
    size = num_rows // num_groups
    groups = similarities[:, : size * num_groups].reshape(-1, size, num_groups)
    largest = np.partition(groups.max(axis=1), -k, axis=1)[:, -k]
    return np.nextafter(largest, np.float32(-np.inf))
