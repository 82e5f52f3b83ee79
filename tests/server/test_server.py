"""HTTP and gRPC beside each other: they start together, drain, and end together."""

import dataclasses
import re
import shutil
import socket
import threading
import time

import numpy as np
import pytest

from npid_tf.client import Client
from npid_tf.server.models import Servable
from npid_tf.server.serve import ServeFlags
from tests.support.requests import b64


def test_stopping_answers_what_has_come(toy, start_server, monkeypatch):
    go_on, answers, run = threading.Event(), [], Servable.run

    def wait_and_run(self, *arguments):
        assert go_on.wait(60)
        return run(self, *arguments)

    server = start_server(toy.config)
    monkeypatch.setattr(Servable, "run", wait_and_run)
    rest = f"http://127.0.0.1:{server.port}"
    grpc = f"grpc://127.0.0.1:{server.grpc_port}"

    def ask_rest():
        path = "/v1/models/encoder:predict"
        answers.append(server.ask("POST", path, {"inputs": [1.0]})[1]["outputs"])

    def ask_grpc():
        x = np.ones(1, np.float32)
        answers.append(Client(grpc).predict("encoder", {"x": x})["y"].tolist())

    threads = [threading.Thread(target=ask) for ask in (ask_rest, ask_grpc)]
    for thread in threads:
        thread.start()
    while _num_rows(server) < 2:  # In a batch, or waiting for one.
        assert all(thread.is_alive() for thread in threads)
        time.sleep(0.05)
    server.stop()
    time.sleep(0.5)
    assert server.thread.is_alive() and not answers
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == [[3.5], [3.5]]
    server.thread.join(30)
    assert not server.thread.is_alive()
    for address in (rest, grpc):
        with pytest.raises(ConnectionError):
            Client(address, seconds=2).status("encoder")


def _num_rows(server):
    text = server.ask("GET", "/metrics")[1].decode()
    names = ("npid_batch_rows_sum", "npid_waiting_rows")
    return sum(float(re.search(f"^{name} (.*)$", text, re.M)[1]) for name in names)


@pytest.mark.parametrize("flag", ["port", "grpc_port"])
def test_a_port_that_is_taken_is_told(toy, start_server, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = dataclasses.replace(toy.config, **{flag: port})
        with pytest.raises(ValueError, match=f"Cannot listen at 127.0.0.1:{port}"):
            start_server(config)


def test_messages_that_are_too_large_are_refused_by_grpc(toy, start_server):
    server = start_server(dataclasses.replace(toy.config, max_body_mb=1))
    client = Client(f"grpc://127.0.0.1:{server.grpc_port}")
    with pytest.raises(ConnectionError, match="RESOURCE_EXHAUSTED"):
        client.predict("encoder", {"x": np.zeros(10**6, np.float32)})


def test_the_flags_bound_what_is_served(exported, start_server, digit, tmp_path):
    directory = tmp_path / "export"
    shutil.copytree(exported.export_dir, directory)
    server = start_server(
        ServeFlags(
            export_dir=str(directory),
            host="localhost",
            port=0,
            grpc_port=0,
            max_batch_size=2,
            batch_delay_ms=5.0,
            max_pixels=64,
            max_request_images=3,
            max_k=4,
            max_queue=3,
        )
    )
    image = b64(digit(1))
    for body, status in (
        ({"images": [image] * 3, "k": 4}, 200),
        ({"images": [image] * 4, "k": 4}, 413),
        ({"images": [image], "k": 5}, 400),
    ):
        assert server.ask("POST", "/v1/search", body)[0] == status
