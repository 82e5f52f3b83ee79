"""A new export's settings are those of searches, and changes are not lost to it."""

import json
import os
import shutil

import numpy as np
import pytest

from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.reader import read_contents
from npid_tf.search.live.segment import build_segment
from tests.support.vectors import unit_rows

pytest.importorskip("scann")


@pytest.fixture
def changed(make_index):
    """(dtype, known=True) -> an index whose changes were compacted, twice."""

    def make(dtype, known=True):
        directory = make_index(60, dtype=dtype)
        index = LiveIndex(directory)
        index.upsert(["new", "3"], unit_rows(2, seed=1), ["x", "y"])
        index.delete(["7", "8"])
        index.compact()
        index.upsert(["8"], unit_rows(1, seed=2), ["z"])
        index.upsert(["gone"], unit_rows(1, seed=3))
        index.compact()
        index.delete(["gone", "9"])
        index.upsert(["newest"], unit_rows(1, seed=4))
        index.close()
        if not known:  # As before it was kept.
            _forget(f"{directory}.live/index-2")
        return directory

    return make


def _forget(folder):
    os.remove(f"{folder}/changed.json")
    with open(f"{folder}/manifest.json", encoding="utf-8") as file:
        manifest = json.load(file)
    for key in ("files", "bytes", "format", "npid_tf"):
        del manifest[key]
    with open(f"{folder}/manifest.json", "w", encoding="utf-8") as file:
        json.dump(manifest, file)


def export_again(directory, vectors, dtype, recall=0.9):
    shutil.rmtree(directory)
    os.makedirs(directory)
    like = {
        "encoder_hash": "the encoder's hash",
        "data": {"dataset": "digits"},
        "settings": {"dtype": dtype},
        "recall": {"k": 3, "target": recall},
    }
    n = len(vectors)
    build_segment(directory, vectors, list(range(n)), [None] * n, like)


def check(contents, dtype, recall=0.9):
    expected = {str(n) for n in range(60)} - {"7", "9"} | {"new", "newest"}
    assert set(contents.ids()) == expected and len(contents) == len(expected)
    assert contents.labels(["3", "8", "new", "newest", "5"]) == [
        *("y", "z", "x"),
        *(None, None),
    ]
    # What was not changed is as the new export keeps it, without a rounding of before.
    unchanged = [str(n) for n in range(60) if n not in (3, 7, 8, 9)]
    atol = 0 if dtype == "float32" else 2**-6
    rows = [int(name) for name in unchanged]
    vectors = unit_rows(60)[rows]
    np.testing.assert_allclose(contents.embeddings(unchanged), vectors, atol=atol)
    changed = np.concatenate(
        [unit_rows(2, seed=1), unit_rows(1, seed=2), unit_rows(1, seed=4)]
    )
    found = contents.embeddings(["new", "3", "8", "newest"])
    np.testing.assert_allclose(found, changed, atol=2**-6)
    ids, _, _ = contents.search(changed, 1)
    assert ids == [["new"], ["3"], ["8"], ["newest"]]
    stats = contents.stats()
    assert stats["settings"]["dtype"] == dtype
    assert stats["recall"]["target"] == recall


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("before", "after"), [("int8", "float32"), ("float32", "bfloat16")]
)
def test_after_a_compaction_searches_use_the_dtype_of_a_new_export(
    changed, before, after, known
):
    directory = changed(before, known)
    export_again(directory, unit_rows(60), after)
    check(read_contents(directory), after)  # Reading writes nothing.
    reader = LiveIndex(directory, read_only=True)
    index = LiveIndex(directory)
    for contents in (index, reader, read_contents(directory)):
        check(contents, after)
    index.compact()
    for contents in (index, reader, read_contents(directory)):
        check(contents, after)
    index.close()
    reopened = LiveIndex(directory)
    check(reopened, after)
    assert reopened.stats()["added_since"] == 0
    reopened.close()


def test_a_recall_that_the_compacted_index_misses_is_that_of_the_new_export(changed):
    directory = changed("float32")
    path = f"{directory}.live/index-2/manifest.json"
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    manifest["recall"]["value"] = 0.91
    with open(path, "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    export_again(directory, unit_rows(60), "float32", recall=0.99)
    check(read_contents(directory), "float32", recall=0.99)


def test_images_that_the_new_export_has_besides_are_found(changed):
    directory = changed("float32")
    more = np.concatenate([unit_rows(60), unit_rows(2, seed=8)])
    export_again(directory, more, "float32")
    index = LiveIndex(directory)
    assert index.search(more[60:], 1)[0] == [["60"], ["61"]]
    assert "7" not in index and "new" in index
    index.close()


def test_a_compacted_index_that_is_as_asked_stays(changed):
    directory = changed("float32")
    export_again(directory, unit_rows(60), "float32")
    index = LiveIndex(directory)
    stats = index.stats()
    assert (stats["generation"], stats["added_since"]) == (2, 1)
    index.close()
