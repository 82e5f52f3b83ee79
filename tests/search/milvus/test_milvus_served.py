"""A server whose index is in Milvus: not ready while that is down, and ready again."""

import socket
import time

import numpy as np
import pytest

from npid_tf.search.milvus.collection import write_collection
from npid_tf.server.serve import ServeFlags
from tests.support.half_plus import save_half_plus
from tests.support.vectors import unit_rows


class LiteServer:
    """A Milvus Lite that answers at a port, as a server does, and can be ended."""

    def __init__(self, folder):
        self._folder = str(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self):
        from milvus_lite.adapter.grpc.server import start_server_in_thread

        self._server, self._db, _ = start_server_in_thread(
            self._folder, port=self._port
        )

    def stop(self):
        self._server.stop(grace=0).wait()
        self._db.close()


@pytest.fixture
def milvus(milvus_lite, tmp_path):
    server = LiteServer(tmp_path / "items.db")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def export(milvus):
    """Exports n items, of the encoder that `save_half_plus` saves."""

    def write(n):
        description = {"encoder_hash": "half", "data": {}}
        write_collection(
            milvus.uri, unit_rows(n), range(n), None, 3, 0.9, **description
        )

    return write


@pytest.fixture
def serve_export(milvus, start_server, tmp_path):
    save_half_plus(tmp_path / "export" / "encoder" / "1", 3.0)
    config = ServeFlags(
        export_dir=str(tmp_path / "export"),
        port=0,
        grpc_port=0,
        dataset="none",
        engine="milvus",
        uri=milvus.uri,
    )
    return lambda: start_server(config, poll_seconds=0.1)


@pytest.fixture
def served(export, serve_export):
    export(20)
    return serve_export()


def wait_for(status, served):
    """The body of /readyz, when it answers with that status."""
    for _ in range(600):
        now, body = served.ask("GET", "/readyz")
        if now == status:
            return body
        time.sleep(0.1)
    raise AssertionError(f"/readyz does not come to {status}: {now}, {body}.")


def found(served, name, k=3):
    status, body = served.ask("POST", "/v1/search", {"ids": [name], "k": k})
    assert status == 200, body
    return [item["id"] for item in body["results"][0]]


def test_it_says_why_it_is_not_ready_while_milvus_is_down(served, milvus):
    products = unit_rows(20) @ unit_rows(20)[5]
    expected = [str(row) for row in np.argsort(-products)[:3]]
    assert found(served, "5") == expected
    wait_for(200, served)
    milvus.stop()
    try:
        body = wait_for(503, served)
        assert "Milvus at http://127.0.0.1" in body["error"]
        for method, path, content in (
            ("POST", "/v1/search", {"ids": ["5"], "k": 3}),
            ("DELETE", "/v1/items/5", None),
            ("GET", "/v1/thumbnail?id=5", None),
        ):
            status, body = served.ask(method, path, content)
            assert (status, "Milvus at" in body["error"]) == (503, True), (path, body)
        assert served.ask("GET", "/healthz")[0] == 200
        status, body = served.ask(
            "POST", "/v1/models/encoder:predict", '{"instances": [1.0]}'
        )
        assert (status, body) == (200, {"predictions": [3.5]})
    finally:
        milvus.start()
    wait_for(200, served)
    assert found(served, "5") == expected


def test_it_searches_what_a_new_export_has_put_there(served, export):
    export(30)
    assert len(found(served, "25", 40)) == 30
    status, body = served.ask("DELETE", "/v1/items/25")
    assert (status, body) == (200, {"deleted": 1})
    status, body = served.ask("DELETE", "/v1/items/25")
    assert (status, "No item has the id '25'" in body["error"]) == (404, True)
    assert len(found(served, "5", 40)) == 29


def test_it_may_start_before_milvus(milvus, export, serve_export):
    export(20)
    milvus.stop()
    try:
        served = serve_export()
        body = wait_for(503, served)
        assert f"Milvus at {milvus.uri}" in body["error"]
    finally:
        milvus.start()
    wait_for(200, served)
    assert found(served, "5")[0] == "5"
