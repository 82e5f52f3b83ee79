"""Small indexes to change, as an export leaves them, made without training."""

import os

import numpy as np
import pytest

from npid_tf.serving.base_index import build_base

DIM = 8


@pytest.fixture(scope="session")
def unit_vectors():
    """(n, seed=0) -> float32 [n, 8], of unit length."""

    def make(n, seed=0):
        vectors = np.random.default_rng(seed).normal(size=[n, DIM]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return make


@pytest.fixture
def make_index(unit_vectors, tmp_path):
    """(n, labels=None, dtype="float32") -> the folder of an index of n items."""

    def make(n, labels=None, dtype="float32"):
        directory = str(tmp_path / "export" / "index")
        os.makedirs(directory)
        like = {
            "encoder_hash": "the encoder's hash",
            "data": {"dataset": "digits"},
            "settings": {"dtype": dtype},
            "recall": {"k": 3, "target": 0.9},
        }
        vectors = unit_vectors(n)
        build_base(directory, vectors, list(range(n)), labels or [None] * n, like)
        return directory

    return make
