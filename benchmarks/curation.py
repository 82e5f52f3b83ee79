"""Curation of many images, and the files of their embeddings: seconds and memory.

    python benchmarks/curation.py --num_rows 200000

takes unit vectors in clusters, with planted copies and outliers, and tells how many of
these are found. The true neighbors of 1,000 rows are compared by brute force.
"""

import argparse
import functools
import os
import tempfile
import time

import numpy as np

import measure
from knn import clustered
from npid_tf.evaluation import curation
from npid_tf.evaluation.neighborhood import similar_pairs, without_mirrored
from npid_tf.evaluation.neighbors_of_all import NeighborSearch
from npid_tf.search.nearest import nearest
from npid_tf.vector_files import FORMATS, Vectors, read_vectors

NUM_PLANTED = 100  # copies, and outliers
NUM_CHECKED = 1000
SIMILARITY = 0.95


def planted(num_rows, dim):
    """Unit vectors in clusters; each of the first rows i is copied to row
    num_rows - 1 - i, and those after them are of no cluster."""
    rows, _ = clustered(num_rows, 1, dim, num_clusters=max(1, num_rows // 200))
    noise = 0.02 * np.random.default_rng(1).standard_normal([NUM_PLANTED, dim])
    rows[-NUM_PLANTED:][::-1] = rows[:NUM_PLANTED] + noise / np.sqrt(dim)
    outliers = np.random.default_rng(2).standard_normal([NUM_PLANTED, dim])
    rows[NUM_PLANTED : 2 * NUM_PLANTED] = outliers
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Steps:
    """Rows of the table: each step's seconds and peak memory."""

    def __init__(self):
        self.rows = []

    def run(self, name, function, found=lambda result: ""):
        result = []
        start = time.perf_counter()
        peak = measure.peak_memory(lambda: result.append(function()))
        seconds = time.perf_counter() - start
        self.rows.append(
            [name, f"{seconds:.1f}", f"{peak / 1e6:,.0f}", found(result[0])]
        )
        return result[0]


def curate(steps, rows, k, size):
    copies = {(row, len(rows) - 1 - row) for row in range(NUM_PLANTED)}
    outliers = set(range(NUM_PLANTED, 2 * NUM_PLANTED))
    search = steps.run(
        "build and tune", lambda: NeighborSearch(rows, k), lambda found: found.how
    )
    checked = np.linspace(0, len(rows) - 1, NUM_CHECKED).astype(int)
    _, true = search.exactly(checked)

    def recall(found):
        pairs = zip(found[1][checked], true, strict=True)
        return f"recall {np.mean([len(set(a) & set(b)) / k for a, b in pairs]):.3f}"

    similarities, neighbors = steps.run(
        f"{k} nearest of all rows", search.of_all, recall
    )

    def pairs():
        found = without_mirrored(*similar_pairs(similarities, neighbors))
        return [part[found[2] >= SIMILARITY] for part in found]

    def copies_found(found):
        those = set(zip(found[0].tolist(), found[1].tolist(), strict=True))
        return f"{len(those & copies)} of {NUM_PLANTED} copies, {len(those)} pairs"

    first, second, _ = steps.run("near duplicates", pairs, copies_found)
    steps.run("groups", lambda: curation.groups(first, second, len(rows)), str_len)
    steps.run(
        "outliers",
        lambda: curation.true_outliers(search, similarities, NUM_PLANTED)[0],
        lambda found: f"{len(outliers & set(found.tolist()))} of {NUM_PLANTED}",
    )
    steps.run(
        f"diverse subset of {size:,}",
        lambda: curation.diverse_subset(rows, size),
        lambda found: f"covers {found[2]:.3f}",
    )


def str_len(found):
    return str(len(found))


def write_files(steps, rows):
    vectors = Vectors(rows, [f"photos/{row:07d}.jpg" for row in range(len(rows))])
    with tempfile.TemporaryDirectory() as folder:
        for suffix, format in FORMATS.items():
            path = os.path.join(folder, f"all{suffix}")
            write = functools.partial(format.write, path, vectors)
            steps.run(f"write {suffix}", write, functools.partial(size_of, path))
            steps.run(f"read {suffix}", functools.partial(read_all, path))


def read_all(path):
    return float(np.sum(read_vectors(path).embeddings))


def size_of(path, _):
    return f"{os.path.getsize(path) / 1e6:,.0f} MB"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--subset_size", type=int, default=1_000)
    flags = parser.parse_args(arguments)
    rows = planted(flags.num_rows, flags.dim)
    nearest(rows[:10], rows[:100], 1)  # Loads what is loaded at the first call.
    print(measure.machine())
    size = f"{rows.nbytes / 1e6:,.0f} MB"
    print(f"\n{flags.num_rows:,} rows of {flags.dim} numbers, {size}\n")
    steps = Steps()
    curate(steps, rows, flags.k, flags.subset_size)
    write_files(steps, rows)
    measure.print_table(["step", "seconds", "peak MB beside them", "found"], steps.rows)


if __name__ == "__main__":
    main()
