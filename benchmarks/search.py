"""Nearest neighbors of one query on one core: our index beside FAISS and hnswlib.

    python benchmarks/search.py --workdir=runs/cifar10_cpu

embeds augmented views of a trained run's images (once: --cache keeps them), builds
every index of them, tunes each on the same held-out images to the recall asked for,
and prints what a query of other held-out images then takes.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time

# Before FAISS starts its threads: waiting ones would otherwise take turns of the core
# from working ones, wherever the machine does something else too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import measure
from augmented_views import load_or_embed
from npid_tf.search import tuning
from npid_tf.search.builder import build_scann_index
from npid_tf.search.scann_index import load_index
from search_contenders import contenders

K = 10
HEADER = (
    "index",
    "recall@10",
    "ms a query",
    "times int8",
    "MB on disk",
    "build and tune, s",
    "search settings",
)


def build_ours(vectors, queries, recall, dtype):
    """Our index, tuned and through its files, and the settings, bytes and seconds."""
    start = time.perf_counter()
    ids = list(range(len(vectors)))
    index = build_scann_index(vectors, ids, None, K, recall, dtype, queries)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as directory:
        index.save(directory)
        index = load_index(directory)
        num_bytes = _bytes(directory)
    names = ("leaves", "leaves_to_search", "reordered")
    settings = index.manifest["settings"]
    settings = {name: settings[name] for name in names if name in settings}
    return index, settings, num_bytes, seconds


def build_other(make, vectors, queries, recall):
    """A contender, tuned like ours, and its settings, bytes and seconds."""
    start = time.perf_counter()
    index = make(vectors)
    trials = tuning.Trials(vectors, K, queries)
    curve = []
    for effort in index.efforts:
        index.set(effort)
        curve.append({"settings": effort, **trials.measure(index)})
    try:
        chosen = tuning.choose(curve, recall, K)["settings"]
    except ValueError:  # Its recall in the table will tell.
        chosen = max(curve, key=lambda entry: entry["recall"])["settings"]
    index.set(chosen)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as directory:
        index.save(directory)
        return index, chosen, _bytes(directory), seconds


@contextlib.contextmanager
def on_one_core():
    """Confines all threads of the process, those of the libraries too, to one core."""
    cores = os.sched_getaffinity(0)
    _confine({min(cores)})
    try:
        yield
    finally:
        _confine(cores)


def _confine(cores):
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # It has just ended.
            os.sched_setaffinity(int(thread), cores)


def _bytes(directory):
    return sum(file.stat().st_size for file in os.scandir(directory))


def compare(vectors, tuning_queries, queries, recall, rounds):
    """{name: (recall, milliseconds, settings, bytes, seconds)}, or None: no library.

    The indexes take turns, so that what else the machine does hits them all alike.
    """
    built = {}
    for dtype in ("int8", "float32"):
        name = f"npid_tf, {dtype} vectors"
        built[name] = build_ours(vectors, tuning_queries, recall, dtype)
        print(f"Built {name}: {built[name][1:]}", flush=True)
    for name, make in contenders(*vectors.shape).items():
        try:
            built[name] = build_other(make, vectors, tuning_queries, recall)
        except ImportError:
            built[name] = None
        print(f"Built {name}: {built[name] and built[name][1:]}", flush=True)
    trials = tuning.Trials(vectors, K, queries)
    present = {name: entry for name, entry in built.items() if entry is not None}
    measures = {name: [] for name in present}
    with on_one_core():
        for _ in range(rounds):
            for name, (index, *_) in present.items():
                measures[name].append(trials.measure(index))
    return {
        name: None
        if entry is None
        else (
            measures[name][0]["recall"],
            statistics.median(each["ms_per_query"] for each in measures[name]),
            *entry[1:],
        )
        for name, entry in built.items()
    }


def table(results):
    """Rows for `measure.print_table`."""
    reference = results["npid_tf, int8 vectors"][1]
    rows = []
    for name, result in results.items():
        if result is None:
            rows.append([name, measure.NOT_INSTALLED] + [""] * (len(HEADER) - 2))
            continue
        recall, ms, settings, num_bytes, seconds = result
        row = [name, f"{recall:.4f}", f"{ms:.3f}", f"{ms / reference:.2f}"]
        row += [f"{num_bytes / 1e6:.1f}", f"{seconds:.0f}"]
        rows.append([*row, ", ".join(f"{key} {v}" for key, v in settings.items())])
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs/cifar10_cpu", help="A trained run")
    parser.add_argument("--cache", default="runs/search_views.npz", help="Embeddings")
    parser.add_argument("--num_vectors", type=int, default=1_000_000)
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args(arguments)
    vectors, held_out = load_or_embed(flags.workdir, flags.num_vectors, flags.cache)
    with on_one_core():
        bandwidth = measure.memory_bandwidth()
    results = compare(
        vectors, held_out[::2], held_out[1::2], flags.recall, flags.rounds
    )
    num_queries = min(len(held_out[1::2]), tuning.NUM_QUERIES)
    print(f"\n{measure.machine()}\n")
    print(
        f"{len(vectors):,} x {vectors.shape[1]}; {num_queries:,} queries, one at a "
        f"time on one core, medians of {flags.rounds} rounds in turns. Floor of exact "
        f"search: one core moves {bandwidth / 1e9:.1f} GB/s, so the vectors pass in "
        f"{1e3 * vectors.nbytes / bandwidth:.1f} ms.\n"
    )
    measure.print_table(HEADER, table(results))
    return results


if __name__ == "__main__":
    main()
