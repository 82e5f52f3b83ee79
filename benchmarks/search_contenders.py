"""Indexes of other libraries with the methods of our `ScannIndex`.

Each has `search(queries, k)`, `save(directory)`, `efforts`, all the settings of a
search that are tried, and `set(effort)`, which takes one of them.
"""

import itertools
import os

import numpy as np

CORES = os.cpu_count()
TRAINING_SAMPLE = 100_000


class Faiss:
    """A FAISS index by its factory's name, on inner products."""

    def __init__(self, vectors, description, efforts=({},)):
        import faiss

        self.faiss = faiss
        # Its many short loops of training take turns to wait where cores are not free.
        faiss.omp_set_num_threads(1)
        self.index = faiss.index_factory(
            vectors.shape[1], description, faiss.METRIC_INNER_PRODUCT
        )
        step = max(1, len(vectors) // TRAINING_SAMPLE)
        self.index.train(np.ascontiguousarray(vectors[::step]))
        faiss.omp_set_num_threads(CORES)
        self.index.add(vectors)
        faiss.omp_set_num_threads(1)
        self.efforts = efforts

    def set(self, effort):
        index = self.faiss.downcast_index(self.index)  # self.index stays the owner.
        if "nprobe" in effort:
            self.faiss.extract_index_ivf(index).nprobe = effort["nprobe"]
        if "k_factor" in effort:
            index.k_factor = effort["k_factor"]

    def search(self, queries, k):
        similarities, rows = self.index.search(queries, k)
        return rows, similarities

    def save(self, directory):
        self.faiss.write_index(self.index, os.path.join(directory, "index.faiss"))


class Hnswlib:
    """hnswlib on inner products."""

    def __init__(self, vectors, efforts):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        self.index.init_index(len(vectors), M=16, ef_construction=200)
        self.index.set_num_threads(CORES)
        self.index.add_items(vectors)
        self.index.set_num_threads(1)
        self.efforts = efforts

    def set(self, effort):
        self.index.set_ef(effort["ef"])

    def search(self, queries, k):
        rows, distances = self.index.knn_query(queries, k)
        return rows.astype(np.int64), 1 - distances

    def save(self, directory):
        self.index.save_index(os.path.join(directory, "index.hnsw"))


def contenders(num_vectors, dim):
    """{name: function of the vectors to an index}."""
    leaves = round(num_vectors**0.5)
    probes = np.unique(
        np.geomspace(1, max(1, leaves // 4), 16).round().astype(int)
    ).tolist()
    factors = [4, 8, 16, 32]
    ef = [10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640]
    nprobes = [{"nprobe": nprobe} for nprobe in probes]
    reordered = [
        {"nprobe": nprobe, "k_factor": factor}
        for nprobe, factor in itertools.product(probes, factors)
    ]
    return {
        "FAISS flat": lambda vectors: Faiss(vectors, "Flat"),
        "FAISS IVF-flat": lambda vectors: Faiss(vectors, f"IVF{leaves},Flat", nprobes),
        # All codes below take as many bytes as ours.
        "FAISS IVF-PQ": lambda vectors: Faiss(
            vectors, f"IVF{leaves},PQ{dim // 4}x8", nprobes
        ),
        "FAISS IVF-PQ (fast scan), reordered as int8": lambda vectors: Faiss(
            vectors, f"IVF{leaves},PQ{dim // 2}x4fs,Refine(SQ8)", reordered
        ),
        "hnswlib, M = 16": lambda vectors: Hnswlib(vectors, [{"ef": v} for v in ef]),
    }
