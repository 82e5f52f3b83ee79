"""The index in Milvus: its recall, a query's time, and what a killed server keeps.

    python benchmarks/milvus.py --workdir=runs/cifar10_cpu

writes embeddings of a trained run's images to a Milvus Lite in a temporary folder, or
to --uri, and asks for the neighbors of images held out.

    NPID_MILVUS_SERVER=milvus-venv/bin/milvus-server python benchmarks/milvus.py \\
        --server --clustered --recall=0.95

starts PyPI's server (see milvus_server.py), takes drawn embeddings, asks over HTTP too,
and then restarts and kills the server.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
import tensorflow as tf

import measure
import milvus_server
from augmented_views import load_or_embed
from npid_tf.saved_models.saved_model import save_model
from npid_tf.search.milvus.collection import write_collection
from npid_tf.search.milvus.index import MilvusIndex
from npid_tf.search.nearest import nearest

K = 10
K_OVER_HTTP = 50
NUM_CHANGED = 1000
ENCODER = "benchmark"
HEADER = (
    "engine",
    "items",
    "recall@10",
    "ms a query",
    "export, s",
    "of 1,000 upserted, found first",
    "of 1,000 deleted, found",
    "ms over HTTP, k = 50",
)


def compare(uri, vectors, queries, recall):
    """A row for `measure.print_table`.

    Half of the queries tune the index, as images held out do in an export; it is
    judged by the others.
    """
    tuned_with, queries = queries[::2], queries[1::2]
    start = time.perf_counter()
    description = {"encoder_hash": ENCODER, "data": {}}
    ids = list(range(len(vectors)))
    write_collection(uri, vectors, ids, None, K, recall, tuned_with, **description)
    export_seconds = time.perf_counter() - start
    index = MilvusIndex(uri, ENCODER)
    _, rows = nearest(queries, vectors, K)
    seconds, hits = [], 0
    for query, expected in zip(queries, rows, strict=True):
        start = time.perf_counter()
        ((*found,),), _, _ = index.search(query[None], K)
        seconds.append(time.perf_counter() - start)
        hits += len(set(map(int, found)) & set(expected.tolist()))
    num_items = len(index)

    names, changed = _changed(vectors)
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
        f"{stats['engine']}, {_settings(stats['settings'])}",
        f"{num_items:,}",
        f"{hits / rows.size:.4f}",
        f"{1e3 * np.median(seconds):.1f}",
        f"{export_seconds:.0f}",
        found_first,
        found_deleted,
    ]


def _settings(settings):
    rest = [f"{name} {value}" for name, value in settings.items() if name != "kind"]
    return ", ".join([settings["kind"], *rest])


def _changed(vectors):
    """(ids, vectors) to upsert: turned around, so none is near one that is there."""
    changed = -vectors[:: max(1, len(vectors) // NUM_CHANGED)][:NUM_CHANGED]
    return [f"new {n}" for n in range(len(changed))], changed


class _NoEncoder(tf.Module):
    """Stands for the encoder of embeddings that none made: the server asks for one."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.uint8)])
    def embed(self, images):
        return {"embeddings": tf.zeros([tf.shape(images)[0], 8])}


def milliseconds_over_http(uri, names):
    """The median of searches for the neighbors of ids, through `npid_tf.serve`."""
    with tempfile.TemporaryDirectory() as folder:
        module = _NoEncoder()
        directory = os.path.join(folder, "encoder", "1")
        description = {"encoder_hash": ENCODER, "data": {}}
        signatures = {"serving_default": module.embed}
        save_model(module, signatures, directory, description)
        command = [sys.executable, "-m", "npid_tf.serve", f"--export_dir={folder}"]
        command += ["--engine=milvus", f"--uri={uri}", "--port=0", "--grpc_port=0"]
        command += ["--dataset=none"]  # Its ids are of no images: no thumbnails.
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                address = _address(server.stdout)
                seconds = []
                for name in names:
                    start = time.perf_counter()
                    found = _search(address, name)
                    seconds.append(time.perf_counter() - start)
                    if len(found) != K_OVER_HTTP:
                        raise RuntimeError(f"Found {len(found)} of {K_OVER_HTTP}.")
            finally:
                server.terminate()
    return 1e3 * np.median(seconds)


def _address(lines):
    for line in lines:
        match = re.search(r"http://[\d.]+:\d+", line)
        if line.startswith("Page") and match:
            return match[0]
    raise RuntimeError("The server ended before it answered.")


def _search(address, name):
    request = urllib.request.Request(
        f"{address}/v1/search",
        json.dumps({"ids": [name], "k": K_OVER_HTTP}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["results"][0]


def survive(server, vectors):
    """What is left of items upserted right before a server ends: {how: text}."""
    names, changed = _changed(vectors)
    left = {}
    for how, end in (("an orderly end", server.stop), ("SIGKILL", server.kill)):
        index = MilvusIndex(server.uri, ENCODER)
        here = [f"{how} {name}" for name in names]
        before = len(index)
        index.upsert(here, changed)
        end()
        start = time.perf_counter()
        server.start()
        index = _opened_again(server.uri)
        seconds = time.perf_counter() - start
        there = index.known_labels(here)
        left[how] = (
            f"{len(there):,} of {len(here):,} that were upserted right before, "
            f"{len(index) - before:,} more items than before; searched again after "
            f"{seconds:.0f} s"
        )
        index.close()
    return left


def _opened_again(uri):
    for _ in range(300):
        with contextlib.suppress(ValueError):
            index = MilvusIndex(uri, ENCODER)
            len(index)
            return index
        time.sleep(1)
    raise RuntimeError("The collection does not load again.")


def clustered(n, num_queries, dim=128, seed=0):
    """Unit vectors and queries like them: 20 noisy copies of each of n / 20 points.

    The points lie on a curved surface of 32 dimensions, as embeddings of images do.
    """
    rng = np.random.default_rng(seed)
    into = rng.normal(size=[2, 32, dim]).astype(np.float32)

    def draw(count):
        flat = rng.normal(size=[-(-count // 20), 32]).astype(np.float32)
        points = np.repeat(np.tanh(flat @ into[0] / 4) + flat @ into[1] / 8, 20, axis=0)
        points = points[:count] + 0.3 * rng.normal(size=[count, dim])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        return points.astype(np.float32)

    vectors = draw(n + num_queries * 20)
    # A query is a noisy copy of a point of which others are in the index.
    chosen = np.arange(num_queries) * (len(vectors) // num_queries)
    return np.delete(vectors, chosen, axis=0)[:n], vectors[chosen]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs/cifar10_cpu", help="A trained run")
    parser.add_argument("--cache", default="runs/search_views.npz", help="Embeddings")
    parser.add_argument("--clustered", action="store_true", help="Drawn, of no run")
    parser.add_argument("--num_vectors", type=int, default=50_000)
    parser.add_argument("--num_queries", type=int, default=1000)
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--uri", help="http://HOST:19530; default: a Milvus Lite")
    parser.add_argument("--server", action="store_true", help="Start PyPI's server")
    flags = parser.parse_args(arguments)
    if flags.clustered:
        vectors, queries = clustered(flags.num_vectors, flags.num_queries)
    else:
        vectors, queries = load_or_embed(flags.workdir, flags.num_vectors, flags.cache)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        uri, server = flags.uri or os.path.join(folder, "items.db"), None
        if flags.server:
            stack.enter_context(milvus_server.only_one())
            server = milvus_server.MilvusServer(milvus_server.find(), folder)
            server.start()
            stack.callback(server.kill)
            uri = server.uri
        row = compare(uri, vectors, queries[: flags.num_queries], flags.recall)
        print(row, flush=True)
        # A Milvus Lite is open here: no other process opens it.
        row.append(
            f"{milliseconds_over_http(uri, map(str, range(100))):.0f}"
            if "://" in uri
            else "not asked"
        )
        left = survive(server, vectors) if server else {}
    print(f"{measure.machine()}\n")
    measure.print_table(HEADER, [row])
    for how, text in left.items():
        print(f"\nAfter {how}: {text}.")
    return dict(zip(HEADER, row, strict=True))


if __name__ == "__main__":
    main()
