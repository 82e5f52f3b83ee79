"""Changes a live index until it is killed: `live_index_writer INDEX FIRST LAST`.

Writes a line to standard output after each change that was acknowledged.
"""

import sys

import numpy as np

DIM = 8


def change(number):
    """Change `number`: (ids, vectors, labels), or (ids, None, None) to delete them."""
    random = np.random.default_rng(number)
    ids = [f"item {n}" for n in random.choice(60, random.integers(1, 6), False)]
    if random.random() < 0.3:
        return ids, None, None
    vectors = random.normal(size=[len(ids), DIM]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ids, vectors, [f"class {number}"] * len(ids)


def apply(number, items):
    """Does to a dict of (vector, label) what the index does with change `number`."""
    ids, vectors, labels = change(number)
    for row, name in enumerate(ids):
        if vectors is None:
            items.pop(name, None)
        else:
            items[name] = (vectors[row], labels[row])


def main(directory, first, last):
    # Without ScaNN a compaction is short, and there are many to be killed in.
    sys.modules.update(scann=None, tensorflow=None)
    from npid_tf.search.live import index as live_index

    live_index.COMPACT_AFTER = 20
    index = live_index.LiveIndex(directory)
    for number in range(int(first), int(last)):
        ids, vectors, labels = change(number)
        if vectors is None:
            index.delete(ids)
        else:
            index.upsert(ids, vectors, labels)
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
