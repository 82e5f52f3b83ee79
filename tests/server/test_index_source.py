"""The own index and the one in Milvus, each opened anew where it is another."""

import json
import os
import shutil

import numpy as np
import pytest

from npid_tf.runs import data
from npid_tf.search.milvus.collection import write_collection
from npid_tf.server.index_source import LocalIndexSource, MilvusIndexSource
from npid_tf.server.limits import RequestError


@pytest.fixture
def export_dir(exported, tmp_path):
    directory = tmp_path / "export"
    left_out = shutil.ignore_patterns("neighbors", "variables")
    shutil.copytree(exported.export_dir, directory, ignore=left_out)
    return directory


def test_the_own_index_opens_again_when_another_took_its_place(
    trained_workdir, export_dir
):
    own = LocalIndexSource(
        str(export_dir), lambda _: data.build_source(trained_workdir)
    )
    before, first = own.identity(), own.open(None)
    assert own.identity() == before
    os.rename(export_dir / "index", export_dir / "old")
    assert own.identity() is None
    shutil.copytree(export_dir / "old", export_dir / "index")
    assert own.identity() not in (None, before)
    second = own.open(first)
    vector = second.embeddings(["7"])
    with pytest.raises(RequestError, match="closed"):
        first.upsert(["x"], vector, None, [None])
    assert first.search(vector, 1, -1.0) == second.search(vector, 1, -1.0)
    assert second.index.engine == "scann"
    assert second.thumbnail("7").startswith(b"\x89PNG")
    second.close()


def test_the_index_in_milvus_is_that_of_the_newest_encoder(export_dir, tmp_path):
    pytest.importorskip("pymilvus")
    path = export_dir / "encoder" / "1" / "assets.extra" / "npid_tf.json"
    encoder_hash = json.loads(path.read_text())["encoder_hash"]
    uri = str(tmp_path / "items.db")
    vectors = np.eye(16, dtype=np.float32)
    write_collection(
        uri, vectors, range(16), None, 3, 0.9, encoder_hash=encoder_hash, data={}
    )
    milvus = MilvusIndexSource(str(export_dir), lambda data: None, uri)
    assert milvus.identity() == encoder_hash
    collection = milvus.open(None)
    (found,), exact = collection.search(vectors[5:6], 3, 0.5)
    assert (found, exact) == (
        [{"id": "5", "label": None, "has_thumbnail": False, "similarity": 1.0}],
        True,
    )
    assert collection.index.engine == "milvus"
    assert collection.page(0, 5) == ([], 0)  # None is known here.
    collection.upsert(["new"], vectors[:1], ["x"], [b"\x89PNG"])
    assert collection.page(0, 5) == (
        [{"id": "new", "label": "x", "has_thumbnail": True}],
        1,
    )
    assert collection.thumbnail("new") == b"\x89PNG"
    collection.delete("new")
    with pytest.raises(RequestError, match="No item has the id 'new'"):
        collection.embeddings(["new"])
    collection.close()

    path.write_text(json.dumps({"encoder_hash": "another", "data": {}}))
    with pytest.raises(ValueError, match="no collection of the encoder another"):
        milvus.open(collection)
    shutil.rmtree(export_dir / "encoder")
    assert milvus.identity() is None
