"""The client: the same answers over REST and gRPC, and errors in the server's words."""

import runpy
import socket
import sys

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.client import Client


@pytest.fixture(params=["http", "grpc"])
def client(server, request):
    port = server.port if request.param == "http" else server.grpc_port
    return Client(f"{request.param}://127.0.0.1:{port}")


def test_files_and_pixels_have_the_embeddings_of_the_saved_model(client, server, digit):
    files = [digit(row) for row in range(3)]
    images = np.stack([tf.io.decode_png(file) for file in files])
    model = tf.saved_model.load(f"{server.config.export_dir}/encoder/1")
    expected = model.signatures["serving_default"](images=images)["embeddings"]
    for embeddings in (client.embed(files), client.embed(images)):
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_neighbors_come_by_name(client, digit):
    found = client.find_neighbors([digit(4), digit(9)])
    assert found["ids"][:, 0].tolist() == [4, 9]
    assert found["similarities"].shape == (2, 5)
    assert found["class_probabilities"].shape == (2, 10)


def test_the_status_tells_the_versions(client):
    assert client.status("encoder") == {1: "AVAILABLE"}


def test_what_the_server_refuses_is_told(client):
    with pytest.raises(ValueError, match="does not decode"):
        client.embed([b"no image"])
    with pytest.raises(ValueError, match="Could not find any versions of model half"):
        client.status("half")


def test_it_searches_and_changes_the_index(server, noise):
    client = Client(f"http://127.0.0.1:{server.port}/")
    client.upsert({"a/b": noise}, {"a/b": "new"})
    answer = client.search([noise], ["7"], k=2, threshold=0.5)
    ((first, *_), (second, *_)) = answer["results"]
    assert (first["id"], first["label"], second["id"]) == ("a/b", "new", "7")
    client.delete("a/b")
    with pytest.raises(ValueError, match="No item has the id 'a/b'"):
        client.delete("a/b")


def test_what_grpc_does_not_have_is_told(server):
    client = Client(f"grpc://127.0.0.1:{server.grpc_port}")
    with pytest.raises(ValueError, match="asked over REST"):
        client.search([b""])


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_without_a_server_there_is_no_answer(kind):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = Client(f"{kind}://127.0.0.1:{free.getsockname()[1]}", seconds=5)
        with pytest.raises(ConnectionError):
            client.status("encoder")


@pytest.mark.parametrize("address", ["127.0.0.1:8501", "ftp://x", "http://", "", None])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match="http://HOST:PORT or grpc://HOST:PORT"):
        Client(address)


def test_a_wait_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="`seconds` must be a number above 0"):
        Client("http://127.0.0.1:8501", seconds="30")


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ImportError, match=r"npid_tf\[serving\]"):
        Client("grpc://127.0.0.1:8500")


def test_the_query_program_needs_only_the_standard_library(
    server, digit, tmp_path, monkeypatch
):
    for name in ("numpy", "tensorflow", "npid_tf", "requests"):
        monkeypatch.setitem(sys.modules, name, None)
    program = runpy.run_path("export/query.py")
    (tmp_path / "7.png").write_bytes(digit(7))
    address = f"http://127.0.0.1:{server.port}"
    found = program["find_neighbors"](str(tmp_path / "7.png"), address)
    assert found["ids"][0] == 7
