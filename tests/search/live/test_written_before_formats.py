"""What the commit d43bdf2 wrote, before files told their format, is still read.

written_by_d43bdf2/ holds two exports of 30 items, in int8: "new" and "3" were added and
"7" taken out; `compacted` was then compacted; then "newer" was added, "8" taken out.
"""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from npid_tf.errors import UserError
from npid_tf.saved_models.exported import describe_encoders
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.reader import read_contents
from npid_tf.search.scann_index import load_index
from tests.support.vectors import unit_rows

pytest.importorskip("scann")
HERE = pathlib.Path(__file__).parent / "written_by_d43bdf2"


@pytest.fixture(params=["changed", "compacted"])
def export_dir(request, tmp_path):
    return shutil.copytree(HERE / request.param, tmp_path / "export")


def check(contents, newest=()):
    expected = {str(n) for n in range(30)} - {"7", "8"}
    assert set(contents.ids()) == expected | {"new", "newer", *newest}
    assert contents.labels(["new", "3", "5", "newer"]) == ["x", None, "class 2", None]
    vectors = np.concatenate([unit_rows(2, seed=1), unit_rows(1, seed=2)])
    ids, similarities, _ = contents.search(vectors, 1)
    assert ids == [["new"], ["3"], ["newer"]]
    np.testing.assert_allclose(similarities, 1, atol=0.02)
    rows = unit_rows(30)[9:]
    found = contents.embeddings([str(n) for n in range(9, 30)])
    np.testing.assert_allclose(found, rows, atol=2**-6)


def test_an_index_and_its_changes_are_read_and_go_on(export_dir):
    directory = str(export_dir / "index")
    assert load_index(directory).ids == list(range(30))
    check(read_contents(directory))
    check(LiveIndex(directory, read_only=True))
    index = LiveIndex(directory)
    check(index)
    index.upsert(["newest"], unit_rows(1, seed=3))
    index.close()
    check(read_contents(directory), ["newest"])
    manifest = json.loads((export_dir / "index.live" / "manifest.json").read_text())
    assert manifest["format"] == 1
    index = LiveIndex(directory)
    index.compact()
    check(index, ["newest"])
    index.close()
    check(read_contents(directory), ["newest"])


def test_its_damage_is_named_as_far_as_it_told_the_bytes(export_dir):
    path = export_dir / "index" / "int8_dataset.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(
        UserError, match=f"{export_dir / 'index'} is damaged: its files"
    ):
        load_index(str(export_dir / "index"))
    path.write_bytes(data)
    os.remove(export_dir / "index" / "ids.json")
    with pytest.raises(UserError, match=str(export_dir / "index")):
        load_index(str(export_dir / "index"))


def test_its_models_are_described(export_dir):
    ((_, description),) = describe_encoders(str(export_dir))
    assert description["encoder_hash"] == "the encoder's hash"
