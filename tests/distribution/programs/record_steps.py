"""Hashes of what steps.py wrote: `python record_steps.py OUT.json 1.npz 2.npz`.

`recorded/d43bdf2.json` was made so by the code of d43bdf2, each N.npz by
`steps.py N N.npz LOSS...` there, in `PINNED`; the classifier with `RefreshNeighbors`
among the callbacks, which `fit` has added by itself since. A processor of another kind
may round otherwise: the canary tells whether this one rounds as that one did.
"""

import hashlib
import json
import sys

import numpy as np

# One path through the kernels of TensorFlow, whatever the processor has beyond it.
PINNED = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "2",
}
COMPARED = ("losses", "bank", "weight")


def hashes(results):
    """{name: SHA-256} of the losses, encoder weights and banks of an N.npz."""
    names = [n for n in results if n.split(".")[-1].startswith(COMPARED)]
    return {n: digest(results[n]) for n in names}


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def losses(results):
    """{name: list of 20 losses}: what is compared where the canary differs."""
    return {n: results[n].tolist() for n in results if n.endswith(".losses")}


if __name__ == "__main__":
    output, *paths = sys.argv[1:]
    record = {"canary": digest(np.load(paths[0])["canary"])}
    for replicas, path in enumerate(paths, start=1):
        results = np.load(path)
        record[str(replicas)] = {"hashes": hashes(results), "losses": losses(results)}
    with open(output, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
