"""Every acknowledged change survives SIGKILL, and none is there by half."""

import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np

from npid_tf.search.live.index import LiveIndex
from tests.search.live import live_index_writer as writer
from tests.support.vectors import unit_rows

# All takes minutes: KILLS=20 CHANGES=5000 pytest \
# tests/search/live/test_index_crashes.py
SEED = int(os.environ.get("SEED", "0"))
KILLS = int(os.environ.get("KILLS", "2"))
CHANGES = int(os.environ.get("CHANGES", "300"))
WRITER = "tests.search.live.live_index_writer"
REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def run_and_kill(directory, first, kill_after, moments):
    """Starts changes at `first`; kills the process some time after change `kill_after`.

    Returns the number after the last change that it acknowledged.
    """
    command = [sys.executable, "-m", WRITER, directory, str(first), str(CHANGES)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    done = first
    for line in process.stdout:
        done = int(line) + 1
        if done > kill_after:
            time.sleep(moments.random() / 50)  # About as long as a few changes take.
            process.kill()
            break
    for line in process.stdout:  # What it acknowledged until it died.
        done = int(line) + 1
    process.wait()
    assert process.returncode in (-9, 0)
    return done


def holds(index, items):
    names = sorted(items)
    if sorted(index.ids()) != names:
        return False
    labels = [items[name][1] for name in names]
    vectors = np.stack([items[name][0] for name in names])
    return index.labels(names) == labels and np.array_equal(
        index.embeddings(names), vectors
    )


def assert_searches(index, items):
    names = sorted(items)
    vectors = np.stack([items[name][0] for name in names])
    queries = vectors[:10]
    ids, similarities, exact = index.search(queries, 7)
    products = queries @ vectors.T
    order = np.argsort(-products, axis=1)[:, :7]
    assert exact
    assert ids == [[names[place] for place in line] for line in order]
    expected = np.take_along_axis(products, order, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-5)


def test_acknowledged_changes_survive_being_killed(make_index):
    directory = make_index(20)
    items = {str(n): (vector, None) for n, vector in enumerate(unit_rows(20))}
    print(f"Kills by SEED={SEED}.")
    moments = random.Random(SEED)
    kills = sorted(moments.sample(range(CHANGES), KILLS))
    done, generations = 0, set()
    for kill_after in [*kills, CHANGES]:
        first, done = done, run_and_kill(directory, done, kill_after, moments)
        for number in range(first, done):
            writer.apply(number, items)
        index = LiveIndex(directory)
        if not holds(index, items):
            # The change that it died in may be there, but then as a whole.
            writer.apply(done, items)
            done += 1
            assert holds(index, items)
        assert_searches(index, items)
        generations.add(index.stats()["generation"])
        index.close()
    assert done == CHANGES
    assert len(generations) > 1  # Compactions were among what was killed.
