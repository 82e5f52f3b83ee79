"""Servers of tiny exports, in threads of the test run, and small indexes."""

import base64
import dataclasses
import http.client
import json
import os
import shutil
import threading
import types

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.runs import build
from npid_tf.runs.config import Config
from npid_tf.saved_models.saved_model import save_model
from npid_tf.search.live.base import build_base
from npid_tf.serve import serve

DIM = 8


@pytest.fixture(scope="session")
def start_server():
    """Starts servers: (Config) -> the server, stopped at the end of the session."""
    servers = []

    def start(config, **settings):
        ready, answer = threading.Event(), types.SimpleNamespace(error=None)

        def tell(port, grpc_port, stop):
            answer.port, answer.grpc_port, answer.stop = port, grpc_port, stop
            ready.set()

        def run():
            try:
                serve(config, tell, **settings)
            except BaseException as error:
                answer.error = error
            finally:
                ready.set()

        answer.thread = threading.Thread(target=run, daemon=True)
        answer.thread.start()
        ready.wait()
        if answer.error is not None:
            raise answer.error
        answer.config = config
        answer.ask = lambda *arguments: _ask(answer.port, *arguments)
        servers.append(answer)
        return answer

    start.servers = servers
    yield start
    for server in servers:
        server.stop()
    for server in servers:
        server.thread.join(60)
        assert not server.thread.is_alive()


@pytest.fixture(scope="session")
def server(exported, tmp_path_factory, start_server):
    """A server of a copy of the export, at free ports."""
    directory = tmp_path_factory.mktemp("served") / "export"
    shutil.copytree(exported.export_dir, directory)
    return start_server(
        dataclasses.replace(exported, export_dir=str(directory), port=0, grpc_port=0),
        poll_seconds=0.1,
    )


class HalfPlus(tf.Module):
    """The example of TensorFlow Serving's documentation, and one of several inputs."""

    def __init__(self, number):
        super().__init__()
        self.number = tf.Variable(number)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"y": x / 2 + self.number}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="tag"),
            tf.TensorSpec([None, 5], tf.int32, name="signal"),
            tf.TensorSpec([None, 2, 2], tf.int64, name="sensor"),
        ]
    )
    def sum_up(self, tag, signal, sensor):
        return {
            "tag": tag,
            "copy_bytes": tag,
            "signal": tf.reduce_sum(signal, axis=1),
            "sensor": sensor,
        }


@pytest.fixture(scope="session")
def save_half_plus():
    """Writes half-plus-NUMBER as a version: (directory, number)."""

    def save(directory, number):
        module = HalfPlus(number)
        signatures = {"serving_default": module.predict, "sum_up": module.sum_up}
        save_model(module, signatures, str(directory), {"encoder_hash": "half"})

    return save


@pytest.fixture(scope="session")
def toy(tmp_path_factory, start_server, save_half_plus):
    """A server whose encoder is version 123 of half-plus-three; it has no index."""
    directory = tmp_path_factory.mktemp("toy")
    save_half_plus(directory / "encoder" / "123", 3.0)
    config = Config(export_dir=str(directory), port=0, grpc_port=0)
    return start_server(config, poll_seconds=0.1)


@pytest.fixture(scope="session")
def digit(exported):
    """PNGs of the training images: digit(row)."""
    source = build.build_source(exported)
    return lambda row: tf.io.encode_png(source.read(row)).numpy()


@pytest.fixture(scope="session")
def noise():
    """A PNG that is no training image."""
    pixels = np.random.default_rng(0).integers(0, 256, [8, 8, 3], np.uint8)
    return tf.io.encode_png(pixels).numpy()


@pytest.fixture(scope="session")
def b64():
    """Bytes as JSON."""
    return lambda data: {"b64": base64.b64encode(data).decode()}


@pytest.fixture(scope="session")
def unit_vectors():
    """(n, seed=0) -> float32 [n, 8], of unit length."""

    def make(n, seed=0):
        vectors = np.random.default_rng(seed).normal(size=[n, DIM]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return make


@pytest.fixture
def make_index(unit_vectors, tmp_path):
    """(n, labels=None, dtype="float32") -> the folder of an index of n items."""

    def make(n, labels=None, dtype="float32", encoder_hash="the encoder's hash"):
        directory = str(tmp_path / "export" / "index")
        os.makedirs(directory)
        like = {
            "encoder_hash": encoder_hash,
            "data": {"dataset": "digits"},
            "settings": {"dtype": dtype},
            "recall": {"k": 3, "target": 0.9},
        }
        vectors = unit_vectors(n)
        build_base(directory, vectors, list(range(n)), labels or [None] * n, like)
        return directory

    return make


@pytest.fixture(scope="session")
def guarded(exported, tmp_path_factory, start_server):
    """A server with a token, an allowed origin and a prefix."""
    directory = str(tmp_path_factory.mktemp("guarded") / "export")
    shutil.copytree(exported.export_dir, directory)
    config = dataclasses.replace(
        exported,
        export_dir=directory,
        port=0,
        grpc_port=0,
        api_token="open-sesame",
        allowed_origins=("https://photos.example",),
        root_path="/search",
    )
    return start_server(config)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; the test is skipped where it or playwright is missing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("No Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def headers_of():
    """(port, method, path, headers={}) -> (status, headers, bytes) of an answer."""

    def ask(port, method, path, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, None, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    return ask


def _ask(port, method, path, body=None, headers=None):
    """(status, JSON or bytes) of a request to 127.0.0.1; a dict is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        if isinstance(body, dict):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        if response.headers.get_content_type() == "application/json":
            content = json.loads(content)
        return response.status, content
    finally:
        connection.close()
