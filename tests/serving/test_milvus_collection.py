"""Collections are written whole, one for each encoder; a server's SCANN is tuned."""

import sys

import pytest

from npid_tf.serving import milvus_collection, tuning
from npid_tf.serving.milvus_collection import connect, write_collection
from npid_tf.serving.milvus_index import MilvusIndex


@pytest.fixture
def uri(milvus_lite, tmp_path):
    return str(tmp_path / "items.db")


def test_a_second_export_takes_the_place_of_the_first(uri, unit_vectors):
    for n in (20, 30):
        write_collection(uri, unit_vectors(n), range(n), None, 3, 0.9, encoder_hash="a")
    write_collection(uri, unit_vectors(10), range(10), None, 3, 0.9, encoder_hash="b")
    for encoder_hash, n in (("a", 30), ("b", 10)):
        index = MilvusIndex(uri, encoder_hash)
        assert (len(index), index.manifest["n"]) == (n, n)
        assert index.labels(["3"]) == [None]
        index.close()
    client = connect(uri)
    assert len(client.list_collections()) == 2
    client.close()


def test_a_failed_export_leaves_the_first_one(uri, unit_vectors, monkeypatch):
    def fail(*arguments):
        raise OSError("No space left on device")

    write_collection(uri, unit_vectors(20), range(20), None, 3, 0.9, encoder_hash="a")
    with monkeypatch.context() as patch:
        patch.setattr(milvus_collection, "write_rows", fail)
        with pytest.raises(OSError, match="No space left"):
            write_collection(
                uri, unit_vectors(9), range(9), None, 3, 0.9, encoder_hash="a"
            )
    index = MilvusIndex(uri, "a")
    assert len(index) == 20
    index.close()
    client = connect(uri)
    assert len(client.list_collections()) == 1
    client.close()


def test_probes_and_candidates_of_a_server_are_those_that_the_recall_takes(
    unit_vectors,
):
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
            products = data @ unit_vectors(50).T
            order = (-products).argsort(axis=1)[:, : max(0, limit - missed)]
            return [
                [{"entity": {"id": str(row)}, "distance": line[row]} for row in rows]
                for rows, line in zip(order, products, strict=True)
            ]

    rows = milvus_collection._Rows(Server(), "name", list(map(str, range(50))))
    trials = tuning.Trials(unit_vectors(50), 4, unit_vectors(20, seed=1))
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
