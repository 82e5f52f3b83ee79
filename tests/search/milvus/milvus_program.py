"""Another process, which exports to Milvus: `milvus_program.py URI N`.

It is killed in the middle of its second export.
"""

import os
import signal
import sys

import numpy as np

from npid_tf.search.milvus import collection as milvus_collection

ENCODER = "0123456789abcdef" * 4
# Nothing a caller writes into an id or label may end up in an expression.
ODD = [
    "it's",
    'say "x"',
    "a\\b",
    "snow \u2603",
    "line\nbreak",
    "' or key != '",
    "{x}",
    "nul\0",
    "\U0001f389" * 4096,  # As long as an id may be, in four bytes each.
]


def vectors_of(n, seed=0):
    """float32 [n, 8], of unit length."""
    vectors = np.random.default_rng(seed).normal(size=[n, 8]).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def items(n):
    """(ids, labels) of n items: some are odd, some labels None or empty."""
    ids = [*ODD, *(f"photos/{row}.jpg" for row in range(n))][:n]
    return ids, [[name, None, ""][row % 3] for row, name in enumerate(ids)]


def write(uri, n, encoder_hash=ENCODER):
    """Exports n items; returns the manifest."""
    ids, labels = items(n)
    description = {"encoder_hash": encoder_hash, "data": {"a": 1}}
    return milvus_collection.write_collection(
        uri, vectors_of(n), ids, labels, 5, 0.9, **description
    )


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    uri, n = sys.argv[1], int(sys.argv[2])
    write(uri, n)
    milvus_collection.write_manifest = die
    write(uri, n // 2)
