"""Vectors that tests search and classify."""

import numpy as np


def unit_rows(num_rows, dim=8, *, seed=0):
    """Random unit vectors, float32 [num_rows, dim]. `seed` may be a Generator."""
    rows = np.random.default_rng(seed).normal(size=[num_rows, dim]).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def in_blocks(vectors, size):
    """A generator of consecutive rows, so read once; None for the array itself."""
    if size is None:
        return vectors
    return (vectors[i : i + size] for i in range(0, len(vectors), size))


def clusters(num_vectors, num_queries, dim=16):
    """Unit vectors around 10 centers, sorted by center, and queries around the same."""
    random = np.random.default_rng(0)
    centers = random.standard_normal([10, dim])
    rows = np.sort(random.integers(0, 10, num_vectors))
    for number in (rows, random.integers(0, 10, num_queries)):
        points = centers[number] + 0.3 * random.standard_normal([len(number), dim])
        yield (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("float32")
