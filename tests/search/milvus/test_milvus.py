"""Milvus as another process left it: Milvus Lite, and (slow) PyPI's Milvus server."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import milvus_server
from npid_tf.errors import UnavailableError
from npid_tf.pictures.exported import NoneExported
from npid_tf.pictures.pictures import Pictures
from npid_tf.pictures.store import PictureStore
from npid_tf.search.milvus.connection import connect
from npid_tf.search.milvus.index import MilvusIndex
from npid_tf.search.milvus.names import alias_of
from npid_tf.server.collection import Collection
from npid_tf.server.limits import RequestError

HERE = os.path.dirname(__file__)
sys.path.insert(0, HERE)
from tests.search.milvus.milvus_program import ENCODER, ODD, items, vectors_of, write  # noqa: E402

N = 60


def export_elsewhere(uri):
    """Exports N items in another process, which dies in the next export."""
    program = os.path.join(HERE, "milvus_program.py")
    done = subprocess.run(
        [sys.executable, program, uri, str(N)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module")
def real_server(tmp_path_factory):
    """PyPI's Milvus server, which this module has for itself."""
    program = milvus_server.find()
    if program is None:
        pytest.skip(f"No Milvus server: see {milvus_server.__file__}.")
    with milvus_server.only_one():
        server = milvus_server.MilvusServer(program, tmp_path_factory.mktemp("milvus"))
        server.start()
        yield server
        server.kill()


@pytest.fixture(
    scope="module", params=["lite", pytest.param("server", marks=pytest.mark.slow)]
)
def place(request, milvus_lite, tmp_path_factory):
    """A Milvus that another process has exported N items to: uri, and whether exact."""
    if request.param == "lite":
        uri, exact = str(tmp_path_factory.mktemp("lite") / "items.db"), True
    else:
        uri, exact = request.getfixturevalue("real_server").uri, False
    export_elsewhere(uri)
    return types.SimpleNamespace(uri=uri, exact=exact)


@pytest.fixture
def index(place):
    """The index as that process left it."""
    with contextlib.closing(MilvusIndex(place.uri, ENCODER)) as opened:
        yield opened
        opened.delete(ODD + ["new"])
        ids, labels = items(len(ODD))
        opened.upsert(ids, vectors_of(N)[: len(ODD)], labels)


def nearest(vector_of, queries, k):
    """[(ids, similarities)] by comparing all."""
    names = list(vector_of)
    products = queries @ np.stack(list(vector_of.values())).T
    order = np.argsort(-products, axis=1)[:, :k]
    return [[names[place] for place in line] for line in order]


def test_what_another_process_wrote_is_searched_here(index, place):
    ids, labels = items(N)
    assert len(index) == index.manifest["n"] == N
    assert index.manifest["data"] == {"a": 1}
    assert index.labels([*ids, "none"]) == [*labels, None]
    np.testing.assert_allclose(index.embeddings(ids), vectors_of(N))
    found, _, exact = index.search(vectors_of(20, seed=1), 5)
    vector_of = dict(zip(ids, vectors_of(N), strict=True))
    assert found == nearest(vector_of, vectors_of(20, seed=1), 5)
    assert exact == place.exact
    kind = index.stats()["settings"]["kind"]
    assert kind == ("FLAT" if place.exact else "SCANN")


def test_changes_are_seen_at_once_and_counted(index):
    vector_of = dict(zip(items(N)[0], vectors_of(N), strict=True))
    for seed in (2, 3):  # The second takes the place of the first.
        changed = vectors_of(len(ODD) + 1, seed)
        names = [*ODD, "new"]
        index.upsert(names, changed, names)
        vector_of.update(zip(names, changed, strict=True))
        assert index.labels(names) == names
        assert len(index) == N + 1
        found, _, _ = index.search(changed, 5)
        assert found == nearest(vector_of, changed, 5)
    assert index.delete([*ODD, ODD[0], "none"]) == len(ODD)
    assert index.labels(names) == [*[None] * len(ODD), "new"]
    assert len(index) == N + 1 - len(ODD)
    assert index.delete(ODD) == index.delete([]) == 0
    for name in ODD:
        del vector_of[name]
    found, similarities, _ = index.search(changed, 100)
    assert [len(line) for line in found] == [len(vector_of)] * len(changed)
    assert similarities.shape == (len(changed), len(vector_of))
    assert found == nearest(vector_of, changed, 100)


def test_nothing_is_asked_with_nothing(index):
    index.upsert([], np.empty([0, 8], np.float32))
    ids, similarities, _ = index.search(np.empty([0, 8], np.float32), 5)
    assert (ids, similarities.shape) == ([], (0, 0))
    assert index.labels([]) == []
    assert index.embeddings([]).shape == (0, 8)
    assert len(index) == N


def test_what_milvus_cannot_take_is_refused_in_words(index):
    vectors = vectors_of(1)
    with pytest.raises(ValueError, match=r"at most 16384. Received: 16385"):
        index.search(vectors, 16_385)
    assert len(index.search(vectors, 16_384)[0][0]) == N
    refused = r"Unicode text.*Received: .*udcff"
    for ids, labels in ((["a\udcff"], None), (["a"], ["\udcff"])):
        with pytest.raises(ValueError, match=refused):
            index.upsert(ids, vectors, labels)
    with pytest.raises(ValueError, match="1 to 4096 characters"):
        index.upsert(["a" * 4097], vectors)
    with pytest.raises(ValueError, match="No item has the id 'none'"):
        index.embeddings(["none"])
    for ids, told in ((["a", "a"], "1 of them again"), (["a" * 5000, "b"], "4096")):
        with pytest.raises(ValueError, match=told):
            write_two(index.uri, ids)
    with pytest.raises(ValueError, match=r"at most 16384 bytes. Received: 'xxx"):
        write_two(index.uri, ["a", "b"], ["x" * 20_000, None])
    assert "a" not in index and len(index) == N


def write_two(uri, ids, labels=None):
    from npid_tf.search.milvus.collection import write_collection

    write_collection(uri, vectors_of(2), ids, labels, 1, 0.9, encoder_hash="other")


def test_a_page_of_results_takes_one_search_and_one_query(index, monkeypatch, tmp_path):
    asked = []
    for method in ("search", "query", "get"):
        real = getattr(index._client, method)

        def ask(*arguments, real=real, method=method, **named):
            asked.append((method, named["consistency_level"]))
            return real(*arguments, **named)

        monkeypatch.setattr(index._client, method, ask)
    store = PictureStore(str(tmp_path / "pictures.sqlite"))
    collection = Collection(index, Pictures(store, NoneExported()))
    results, _ = collection.search(vectors_of(3), 50, -1.0)
    assert [len(line) for line in results] == [50] * 3
    assert results[0][0]["label"] == items(1)[1][0]
    # Bounded: Strong waits for a tick of Milvus, 0.2 s.
    assert asked == [("search", "Bounded"), ("get", "Bounded")]
    asked.clear()
    collection.embeddings(items(N)[0])
    assert len(asked) == 2
    asked.clear()
    collection.describe(items(N)[0])
    assert len(asked) == 1
    with pytest.raises(RequestError, match="No item has the id 'none'"):
        collection.embeddings(["none"])
    with pytest.raises(RequestError, match="No item has the id 'none'"):
        collection.delete("none")
    # Changes that were just made must be seen, and no later one waits for them.
    index.upsert(["new"], vectors_of(1))
    asked.clear()
    index.search(vectors_of(1), 1)
    index.delete(["new"])
    index.search(vectors_of(1), 1)
    levels = [level for _, level in asked]
    assert levels == ["Session", "Strong", "Strong"]
    monkeypatch.setattr("npid_tf.search.milvus.requests.STALE_SECONDS", 0)
    index.search(vectors_of(1), 1)
    assert asked[-1] == ("search", "Bounded")


def names_of(uri, encoder_hash=ENCODER):
    """(the collection that is in use, all of that encoder's)."""
    client = connect(uri)
    with contextlib.closing(client):
        alias = alias_of(encoder_hash)
        all_of_it = [name for name in client.list_collections() if alias in name]
        return client.describe_collection(alias)["collection_name"], all_of_it


def test_what_a_killed_export_left_goes_with_the_next_one(place):
    before, names = names_of(place.uri)
    assert len(names) == 2
    with contextlib.closing(MilvusIndex(place.uri, ENCODER)) as index:
        assert len(index) == N
        write(place.uri, N)
        in_use, names = names_of(place.uri)
        assert names == [in_use] and in_use != before
        # One that is open goes on with the new one.
        assert len(index.search(vectors_of(1), 3)[0][0]) == 3
        index.follow()
        assert index.why_down is None and len(index) == N


def test_two_exports_at_once_leave_a_whole_one(place):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for n in pool.map(lambda n: write(place.uri, n)["n"], (30, 40)):
            assert n in (30, 40)
    with contextlib.closing(MilvusIndex(place.uri, ENCODER)) as index:
        assert len(index) == index.manifest["n"] in (30, 40)
    write(place.uri, N)
    in_use, names = names_of(place.uri)
    assert names == [in_use]


def test_a_collection_that_is_dropped_is_told_of_and_found_again(place):
    encoder_hash = "dropped" * 9
    write(place.uri, 20, encoder_hash)
    with contextlib.closing(MilvusIndex(place.uri, encoder_hash)) as index:
        client = connect(place.uri)
        client.drop_collection(names_of(place.uri, encoder_hash)[0])
        for ask in (lambda: index.search(vectors_of(1), 3), lambda: len(index)):
            with pytest.raises(UnavailableError, match="Milvus at"):
                ask()
        with pytest.raises(RequestError, match="Milvus at") as raised:
            Collection(index, None).check_available()
        assert raised.value.status == 503
        index.follow()
        assert "has no collection of the encoder droppeddropp" in index.why_down
        write(place.uri, 30, encoder_hash)
        index.follow()
        assert index.why_down is None
        assert len(index) == index.manifest["n"] == 30
        client.release_collection(names_of(place.uri, encoder_hash)[0])
        assert len(index.search(vectors_of(1), 3)[0][0]) == 3
        client.close()


def test_another_encoder_that_begins_alike_is_refused(place):
    with pytest.raises(
        ValueError, match=r"of the encoder 0123456789abcdef01234567, not"
    ):
        MilvusIndex(place.uri, ENCODER[:20] + "other")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_ends_loses_nothing_it_was_told_of(real_server, end):
    uri, encoder_hash = real_server.uri, f"{end}0123456789" * 4
    write(uri, N, encoder_hash)
    names = [f"{end} {row}" for row in range(100)]
    index = MilvusIndex(uri, encoder_hash)
    index.upsert(names, vectors_of(100, 1), names)
    index.delete(names[:50])
    getattr(real_server, end)()
    start = time.monotonic()
    with pytest.raises(UnavailableError, match="Milvus at"):
        index.search(vectors_of(1), 3)
    assert time.monotonic() - start < 60  # It does not wait for ever.
    assert index.why_down is not None
    real_server.start()
    for _ in range(120):
        index.follow()
        if index.why_down is None:
            break
        time.sleep(1)
    assert index.why_down is None
    assert index.labels(names) == [*[None] * 50, *names[50:]]
    assert len(index) == N + 50
    assert index.search(vectors_of(100, 1)[50:], 1)[0] == [
        [name] for name in names[50:]
    ]
    index.close()
    with contextlib.closing(MilvusIndex(uri, encoder_hash)) as again:
        assert again.manifest["n"] == N and len(again) == N + 50
