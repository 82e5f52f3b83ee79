"""Collections are written whole, one for each encoder; a server's SCANN is tuned."""

import json
import os
import sys

import pytest

from npid_tf.files import formats
from npid_tf.search import tuning
from npid_tf.search.milvus import collection as milvus_collection
from npid_tf.search.milvus import rows as milvus_rows
from npid_tf.search.milvus.collection import write_collection
from npid_tf.search.milvus.connection import _check_version, connect, is_lite
from npid_tf.search.milvus.index import MilvusIndex
from npid_tf.search.milvus.names import alias_of
from npid_tf.search.milvus.rows import key_of
from tests.support.vectors import unit_rows


@pytest.fixture
def uri(milvus_lite, tmp_path):
    return str(tmp_path / "items.db")


def test_a_second_export_takes_the_place_of_the_first(uri):
    for n in (20, 30):
        write_collection(uri, unit_rows(n), range(n), None, 3, 0.9, encoder_hash="a")
    write_collection(uri, unit_rows(10), range(10), None, 3, 0.9, encoder_hash="b")
    for encoder_hash, n in (("a", 30), ("b", 10)):
        index = MilvusIndex(uri, encoder_hash)
        assert (len(index), index.manifest["n"]) == (n, n)
        assert index.labels(["3"]) == [None]
        index.close()
    client = connect(uri)
    assert len(client.list_collections()) == 2
    client.close()


def test_a_failed_export_leaves_the_first_one(uri, monkeypatch):
    def fail(*arguments):
        raise OSError("No space left on device")

    write_collection(uri, unit_rows(20), range(20), None, 3, 0.9, encoder_hash="a")
    with monkeypatch.context() as patch:
        patch.setattr(milvus_collection, "write_rows", fail)
        with pytest.raises(OSError, match="No space left"):
            write_collection(
                uri, unit_rows(9), range(9), None, 3, 0.9, encoder_hash="a"
            )
    index = MilvusIndex(uri, "a")
    assert len(index) == 20
    index.close()
    client = connect(uri)
    assert len(client.list_collections()) == 1
    client.close()


def test_probes_and_candidates_of_a_server_are_those_that_the_recall_takes():
    """A server that finds one of k more with each doubling of either."""

    class Server:
        def search(self, name, data, limit, search_params, **how):
            params = search_params["params"]
            assert (search_params["metric_type"], how["partition_names"]) == (
                "IP",
                ["_default"],
            )
            missed = max(0, 6 - params["nprobe"].bit_length())
            missed += max(0, 3 - params["reorder_k"] // (16 * 4))
            products = data @ unit_rows(50).T
            order = (-products).argsort(axis=1)[:, : max(0, limit - missed)]
            return [
                [{"entity": {"id": str(row)}, "distance": line[row]} for row in rows]
                for rows, line in zip(order, products, strict=True)
            ]

    rows = milvus_collection._Rows(Server(), "name", list(map(str, range(50))))
    trials = tuning.Trials(unit_rows(50), 4, unit_rows(20, seed=1))
    settings = {"kind": "SCANN", "nlist": 40}
    chosen = milvus_collection._tune(rows, trials, settings, 4, 0.99)
    tried = [
        (entry["settings"]["reorder_k"], entry["settings"]["nprobe"], entry["recall"])
        for entry in chosen["curve"]
    ]
    assert tried == [
        *((64, 8, 0.0), (64, 16, 0.25), (64, 32, 0.5), (64, 40, 0.5)),
        *((128, 8, 0.25), (128, 16, 0.5), (128, 32, 0.75), (128, 40, 0.75)),
        # From here on more probes are slower, and find no more.
        *((256, 8, 0.5), (256, 16, 0.75), (256, 32, 1.0)),
        *((512, 8, 0.5), (512, 16, 0.75)),
    ]
    assert chosen["settings"] == {**settings, "nprobe": 32, "reorder_k": 256}
    assert chosen["recall"] == {"k": 4, "target": 0.99, "value": 1.0}
    with pytest.raises(ValueError, match=r"misses --recall=0.99: the best"):
        milvus_collection._tune(rows, trials, {**settings, "nlist": 16}, 4, 0.99)


def write_as_before(uri, vectors, properties):
    """A collection as npid_tf 0.1 wrote it: the manifest is a property."""
    from pymilvus import DataType

    client = connect(uri)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, max_length=16_384)
    schema.add_field("label", DataType.VARCHAR, max_length=16_384, nullable=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=8)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="IP", params={})
    name = f"{alias_of('old')}_01234567"
    client.create_collection(
        name, schema=schema, index_params=index, consistency_level="Strong"
    )
    rows = [
        {
            "key": key_of(str(row)),
            "id": str(row),
            "label": "x" if row % 2 else None,
            "embedding": vector,
        }
        for row, vector in enumerate(vectors)
    ]
    client.insert(name, rows)
    client.alter_collection_properties(name, properties)
    client.create_alias(name, alias_of("old"))
    client.close()


def test_what_was_exported_before_is_read_or_refused_in_words(uri):
    manifest = {
        "encoder_hash": "old",
        "data": {},
        "n": 10,
        "dim": 8,
        "settings": {"kind": "FLAT"},
        "recall": {"k": 3, "target": 0.9, "value": 1.0},
    }
    write_as_before(uri, unit_rows(10), {"npid_tf": json.dumps(manifest)})
    index = MilvusIndex(uri, "old")
    assert index.manifest == manifest
    assert index.search(unit_rows(10), 1)[0] == [[str(row)] for row in range(10)]
    index.upsert(["a", "b"], unit_rows(2, seed=1), ["", None])
    assert index.labels(["0", "1", "a", "b"]) == [None, "x", "", None]
    assert index.delete(["a", "0"]) == 2 and len(index) == 10
    index.close()
    write_collection(uri, unit_rows(5), range(5), None, 3, 0.9, encoder_hash="old")
    index = MilvusIndex(uri, "old")
    assert len(index) == 5 and index.manifest["format"] == 1
    index.close()
    client = connect(uri)
    client.drop_collection(client.list_collections()[0])
    client.drop_alias(alias_of("old"))
    client.close()
    # As a server of Milvus 2.3 is after a restart.
    write_as_before(uri, unit_rows(10), {"other": "1"})
    with pytest.raises(ValueError, match=r"lost its manifest.*Export again with"):
        MilvusIndex(uri, "old")


def test_a_newer_format_is_refused_in_words(uri, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, milvus_rows.KIND, 2)
    write_collection(uri, unit_rows(5), range(5), None, 3, 0.9, encoder_hash="new")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"format 2.* npid_tf 0.*newer"):
        MilvusIndex(uri, "new")


def test_a_manifest_may_be_longer_than_a_row(uri):
    data = {"data_dir": "\u2603" * 20_000}
    write_collection(
        uri, unit_rows(5), range(5), None, 3, 0.9, encoder_hash="long", data=data
    )
    index = MilvusIndex(uri, "long")
    assert index.manifest["data"] == data
    assert len(index) == 5
    assert len(index.search(unit_rows(1), 100)[0][0]) == 5
    index.close()


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("v2.2.16", "Milvus 2.3 or newer. Received: v2.2.16 at http://it"),
        ("v1.1.1", "Milvus 2.3 or newer"),
        *((good, None) for good in ("v2.3.5-lite", "2.6.1-gpu-x", "milvus_lite-3.2.2")),
    ],
)
def test_a_server_that_is_too_old_is_refused(version, why):
    assert is_lite(version) == (version == "milvus_lite-3.2.2")
    if why is None:
        _check_version("http://it", version)
    else:
        with pytest.raises(ValueError, match=why):
            _check_version("http://it", version)


def test_a_version_that_cannot_be_read_is_warned_of():
    with pytest.warns(UserWarning, match=r"Milvus at .*'cloud'"):
        _check_version("http://it", "cloud")


def test_a_file_that_is_open_elsewhere_is_told_of(uri, caplog):
    from milvus_lite.db import MilvusLite

    other = MilvusLite(uri)  # As another process has it: its lock is the file's.
    with pytest.raises(ValueError, match=r"No Milvus at .*items.db: .*holds the lock"):
        connect(uri)
    assert not [record for record in caplog.records if record.exc_info]
    other.close()
    connect(uri).close()


def test_a_file_that_is_not_there_is_not_made(uri, tmp_path, milvus_lite):
    with pytest.raises(ValueError, match="has no collection of the encoder a"):
        MilvusIndex(uri, "a")
    assert os.listdir(tmp_path) == []


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ImportError, match=r"npid_tf\[milvus\]"):
        connect("items.db")


def test_a_file_that_pymilvus_would_take_for_a_host_is_refused(milvus_lite):
    with pytest.raises(ValueError, match=r"end in .db. Received: runs/items"):
        connect("runs/items")


def test_a_server_that_is_not_there_is_named(uri):
    with pytest.raises(ValueError, match=r"No Milvus at http://127.0.0.1:9"):
        connect("http://127.0.0.1:9")
