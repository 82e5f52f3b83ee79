"""Exact k nearest rows of many queries: ours beside dense products and selections.

    python benchmarks/knn.py --workdir=runs/cifar10_cpu

compares on the embeddings of a trained run (its evaluated images are the queries), or
on unit vectors in clusters without one, then searches as many rows as ImageNet has.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import tensorflow as tf

import measure
from npid_tf.encoders.embed import embed
from npid_tf.runs import build, data
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.runs.workdir import read_run
from npid_tf.search import nearest as search

AT_ONCE = 512  # queries of a dense product: 100 MB of similarities to 50,000 rows
HEADER = (
    "ms a query",
    "times the product alone",
    "peak MB",
    "largest difference",
)


def clustered(num_rows, num_queries, dim=128, num_clusters=1000):
    """Unit vectors around random centers, as (rows, queries)."""
    random = np.random.default_rng(0)
    centers = random.standard_normal([num_clusters, dim], np.float32)

    def draw(count):
        # By parts: in one piece, the noise alone would be several times the result.
        points = np.empty([count, dim], np.float32)
        for part in np.array_split(points, 1 + count // 100_000):
            part[:] = centers[random.integers(0, num_clusters, len(part))]
            part += random.standard_normal(part.shape, np.float32)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        return points

    return draw(num_rows), draw(num_queries)


def embedded(workdir):
    """Embeddings of a run's training images and of its evaluated ones."""
    config = TrainFlags.of({**read_run(workdir), "workdir": workdir})
    sources = data.build_source(config), data.build_eval_source(config)
    encoder = build.load_trained(config, sources[0]).encoder
    return [
        embed(encoder, data.build_eval_dataset(config, source), source.num_instances)
        for source in sources
    ]


def in_parts(search):
    """A search of all queries by one of a few at once, -> indices [queries, k]."""

    def search_all(queries):
        parts = range(0, len(queries), AT_ONCE)
        return np.concatenate([search(queries[i : i + AT_ONCE]) for i in parts])

    return search_all


def contenders(vectors, k):
    """{name: function of queries, which returns the rows found, or None}."""

    def product(queries):
        return (queries @ vectors.T)[:, 0].copy()

    def sort_all(queries):
        return tf.math.top_k(tf.matmul(queries, vectors, transpose_b=True), k)[1]

    found = {
        "NumPy product alone": in_parts(product),
        "npid_tf": lambda queries: search.nearest(queries, vectors, k)[1],
        "TensorFlow matmul + top_k": in_parts(sort_all),
        **torch_contenders(vectors, k),
        "scikit-learn, brute": None,
        "FAISS, IndexFlatIP": None,
    }
    try:
        from sklearn.neighbors import NearestNeighbors

        brute = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(vectors)
        found["scikit-learn, brute"] = lambda queries: brute.kneighbors(
            queries, return_distance=False
        )
    except ImportError:
        pass
    try:
        import faiss

        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        found["FAISS, IndexFlatIP"] = lambda queries: flat.search(queries, k)[1]
    except ImportError:
        pass
    return found


def torch_contenders(vectors, k):
    names = "PyTorch product alone", "PyTorch matmul + topk"
    try:
        import torch
    except ImportError:
        return dict.fromkeys(names)
    rows = torch.from_numpy(vectors)

    def product(queries):
        return (torch.from_numpy(queries) @ rows.T)[:, 0].clone()

    def dense(queries):
        return (torch.from_numpy(queries) @ rows.T).topk(k, dim=1).indices

    return dict(zip(names, map(in_parts, (product, dense)), strict=True))


def difference(queries, vectors, indices, k):
    """How far the similarities of these rows are from those that ours finds."""
    queries, indices = queries[:AT_ONCE], indices[:AT_ONCE]
    similarities = np.einsum("qd,qkd->qk", queries, vectors[indices])
    ours, _ = search.nearest(queries, vectors, k)
    return np.abs(-np.sort(-similarities, axis=1) - ours).max()


def peak_memory(name, vectors, queries, k):
    """The most bytes a contender adds, in a process that has run no other.

    What an earlier one has freed, its allocator may keep, and hand out uncounted.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as process:
        return process.submit(_peak_memory, name, vectors, queries, k).result()


def _peak_memory(name, vectors, queries, k):
    search = contenders(vectors, k)[name]
    search(queries[:2])
    return measure.peak_memory(lambda: search(queries))


def compare(vectors, queries, k, repeats):
    """The rows of the table: one for each contender."""
    functions = contenders(vectors, k)
    runs = {
        name: lambda search=search: search(queries)
        for name, search in functions.items()
        if search is not None
    }
    seconds = measure.interleaved_medians(runs, repeats)
    fastest_product = min(value for name, value in seconds.items() if "alone" in name)
    for name in functions:
        if name not in runs:
            yield name, measure.NOT_INSTALLED, "", "", ""
            continue
        is_search = "alone" not in name
        yield (
            name,
            f"{1000 * seconds[name] / len(queries):.3f}",
            f"{seconds[name] / fastest_product:.2f}",
            f"{peak_memory(name, vectors, queries, k) / 1e6:.0f}",
            f"{difference(queries, vectors, runs[name](), k):.0e}" if is_search else "",
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", help="a trained run; without, made-up clusters")
    parser.add_argument("--num_queries", type=int, default=10_000)
    parser.add_argument("--num_rows", type=int, default=50_000)
    parser.add_argument("--many_queries", type=int, default=2_000)
    parser.add_argument("--many_rows", type=int, default=1_281_167)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    print(measure.machine(), end="\n\n")
    # First: before anything has freed memory that would then serve it uncounted.
    print_many(options.many_rows, options.many_queries, options.k)
    if options.workdir is None:
        vectors, queries = clustered(options.num_rows, options.num_queries)
    else:
        vectors, queries = embedded(options.workdir)
    vectors, queries = vectors[: options.num_rows], queries[: options.num_queries]
    first = f"{len(queries):,} queries, {len(vectors):,} rows, k = {options.k}"
    table = list(compare(vectors, queries, options.k, options.repeats))
    measure.print_table((first, *HEADER), table)


def print_many(num_rows, num_queries, k):
    """Ours at the size of ImageNet, and the product alone in the same blocks."""
    vectors, queries = clustered(num_rows, num_queries)

    def product():
        for start in range(0, num_rows, search.ROWS_AT_ONCE):
            queries @ vectors[start : start + search.ROWS_AT_ONCE].T

    def ours():
        search.nearest(queries, vectors, k)

    search.nearest(queries[:2], vectors[:1000], k)
    peak = measure.peak_memory(ours)
    seconds = measure.interleaved_medians({"product": product, "ours": ours}, 1)
    print(
        f"{num_queries:,} queries, {num_rows:,} rows, k = {k}: "
        f"{1000 * seconds['ours'] / num_queries:.2f} ms a query, "
        f"{seconds['ours'] / seconds['product']:.2f} times the NumPy product alone, "
        f"at most {peak / 1e6:.0f} MB beyond rows and queries.\n"
    )


if __name__ == "__main__":
    main()
