"""Servers of tiny exports, in threads of the test run, and small indexes."""

import functools
import os
import shutil
import threading
import types

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.runs import data
from npid_tf.search.live.segment import build_segment
from npid_tf.server.serve import ServeFlags, serve
from tests.support.half_plus import save_half_plus
from tests.support.requests import ask
from tests.support.vectors import unit_rows


@pytest.fixture(scope="session")
def start_server():
    """Starts servers: (ServeFlags) -> the server, stopped at the end of the session."""
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
        answer.ask = functools.partial(ask, answer.port)
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
        ServeFlags(export_dir=str(directory), port=0, grpc_port=0),
        poll_seconds=0.1,
    )


@pytest.fixture(scope="session")
def toy(tmp_path_factory, start_server):
    """A server whose encoder is version 123 of half-plus-three; it has no index."""
    directory = tmp_path_factory.mktemp("toy")
    save_half_plus(directory / "encoder" / "123", 3.0)
    config = ServeFlags(export_dir=str(directory), port=0, grpc_port=0)
    return start_server(config, poll_seconds=0.1)


@pytest.fixture(scope="session")
def digit(trained_workdir):
    """PNGs of the training images: digit(row)."""
    source = data.build_source(trained_workdir)
    return lambda row: tf.io.encode_png(source.read(row)).numpy()


@pytest.fixture(scope="session")
def noise():
    """A PNG that is no training image."""
    pixels = np.random.default_rng(0).integers(0, 256, [8, 8, 3], np.uint8)
    return tf.io.encode_png(pixels).numpy()


@pytest.fixture
def make_index(tmp_path):
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
        vectors = unit_rows(n)
        build_segment(directory, vectors, list(range(n)), labels or [None] * n, like)
        return directory

    return make


@pytest.fixture(scope="session")
def guarded(exported, tmp_path_factory, start_server):
    """A server with a token, an allowed origin and a prefix."""
    directory = str(tmp_path_factory.mktemp("guarded") / "export")
    shutil.copytree(exported.export_dir, directory)
    config = ServeFlags(
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
