"""The index in Milvus: its recall, a query's time, and whether changes are found.

    python benchmarks/milvus.py --workdir=runs/cifar10_cpu

writes embeddings of a trained run's images to a Milvus Lite in a temporary folder, or
to --uri, and asks for the neighbors of images held out.
"""

import argparse
import os
import tempfile
import time

import numpy as np

import measure
from augmented_views import load_or_embed
from npid_tf.evaluation.knn import nearest
from npid_tf.serving.milvus_collection import write_collection
from npid_tf.serving.milvus_index import MilvusIndex

K = 10
NUM_CHANGED = 1000
HEADER = (
    "engine",
    "items",
    "recall@10",
    "ms a query",
    "export, s",
    "of 1,000 upserted, found first",
    "of 1,000 deleted, found",
)


def compare(uri, vectors, queries, recall):
    """A row for `measure.print_table`."""
    start = time.perf_counter()
    description = {"encoder_hash": "benchmark", "data": {}}
    ids = list(range(len(vectors)))
    write_collection(uri, vectors, ids, None, K, recall, **description)
    export_seconds = time.perf_counter() - start
    index = MilvusIndex(uri, "benchmark")
    _, rows = nearest(queries, vectors, K)
    seconds, hits = [], 0
    for query, expected in zip(queries, rows, strict=True):
        start = time.perf_counter()
        ((*found,),), _, _ = index.search(query[None], K)
        seconds.append(time.perf_counter() - start)
        hits += len(set(map(int, found)) & set(expected.tolist()))
    num_items = len(index)

    # Turned around, so that none is near an item that is there.
    changed = -vectors[:: max(1, len(vectors) // NUM_CHANGED)][:NUM_CHANGED]
    names = [f"new {n}" for n in range(len(changed))]
    index.upsert(names, changed)
    ids, similarities, _ = index.search(changed, 1)
    # An equal vector of another name is as good.
    found_first = int((similarities[:, 0] > 1 - 1e-5).sum())
    index.delete(names)
    ids, _, _ = index.search(changed, K)
    found_deleted = len(set(names) & {name for line in ids for name in line})
    stats = index.stats()
    index.close()
    return [
        f"{stats['engine']}, {stats['settings']['kind']}",
        f"{num_items:,}",
        f"{hits / rows.size:.4f}",
        f"{1e3 * np.median(seconds):.1f}",
        f"{export_seconds:.0f}",
        found_first,
        found_deleted,
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs/cifar10_cpu", help="A trained run")
    parser.add_argument("--cache", default="runs/search_views.npz", help="Embeddings")
    parser.add_argument("--num_vectors", type=int, default=50_000)
    parser.add_argument("--num_queries", type=int, default=1000)
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--uri", help="http://HOST:19530; default: a Milvus Lite")
    flags = parser.parse_args(arguments)
    vectors, queries = load_or_embed(flags.workdir, flags.num_vectors, flags.cache)
    with tempfile.TemporaryDirectory() as folder:
        uri = flags.uri or os.path.join(folder, "items.db")
        row = compare(uri, vectors, queries[: flags.num_queries], flags.recall)
    print(f"{measure.machine()}\n")
    measure.print_table(HEADER, [row])
    return dict(zip(HEADER, row, strict=True))


if __name__ == "__main__":
    main()
