"""Servers with a token, for other pages, below a prefix, and that change nothing."""

import dataclasses
import json

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from npid_tf.client import Client
from npid_tf.command_line.given import flag_lines
from npid_tf.server.serve import ServeFlags
from tests.support.requests import headers_of

TOKEN = "open-sesame"
PAGE = "https://photos.example"


@pytest.fixture(scope="module")
def read_only(exported, start_server):
    config = ServeFlags(
        export_dir=exported.export_dir, port=0, grpc_port=0, read_only=True
    )
    return start_server(config)


def test_without_the_token_nothing_is_searched_or_changed(guarded, noise, capfd):
    client = Client(f"http://127.0.0.1:{guarded.port}", token="wrong-one")
    for ask in (
        lambda: client.search(ids=["7"]),
        lambda: client.upsert({"a": noise}),
        lambda: client.upsert(
            {"a": bytes(8 << 20)}
        ),  # The answer comes before its end.
        lambda: client.delete("7"),
        lambda: client.thumbnail("7"),
        lambda: client.embed([noise]),
        lambda: client.status("encoder"),
    ):
        with pytest.raises(ValueError, match=r"401: .*Authorization: Bearer TOKEN"):
            ask()
    for path in (
        "/metrics",
        "/v1/items",
        "/search/v1/items",
        "/no",
        "/docs",
        "/openapi.json",
        "/search/docs",
    ):
        assert guarded.ask("GET", path)[0] == 401
        assert headers_of(guarded.port, "HEAD", path)[0] == 401
    for path in ("/healthz", "/readyz", "/", "/page.js", "/page.css", "/search/"):
        assert guarded.ask("GET", path)[0] == 200
    printed = "".join(capfd.readouterr())
    assert TOKEN not in printed and "wrong-one" not in printed


def test_every_refusal_reaches_a_client_that_is_still_sending(server):
    for method, path, headers, status in (
        ("POST", "/v1/no", {}, 404),
        ("PUT", "/v1/items", {}, 405),
        ("POST", "/v1/search", {"Origin": "https://evil.example"}, 403),
        ("POST", "/v1/search", {"Host": "evil.example"}, 421),
        ("POST", "/v1/search?k=3", {}, 400),
        ("DELETE", "/v1/items?id=no", {}, 404),
    ):
        headers["Connection"] = "close"
        answer = server.ask(method, path, bytes(8 << 20), headers)
        assert (answer[0], list(answer[1])) == (status, ["error"])


def test_the_refusal_says_how_to_ask(guarded):
    status, headers, body = headers_of(guarded.port, "POST", "/v1/search")
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="npid_tf"')
    assert list(json.loads(body)) == ["error"]


def test_with_the_token_all_is(guarded, noise, monkeypatch):
    monkeypatch.setenv("NPID_API_TOKEN", TOKEN)
    client = Client(f"http://127.0.0.1:{guarded.port}/search")
    client.upsert({"a/b": noise})
    assert client.search([noise], k=1)["results"][0][0]["id"] == "a/b"
    client.delete("a/b")
    assert client.status("encoder") == {1: "AVAILABLE"}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.ask("GET", "/metrics", None, headers)[0] == 200


def test_grpc_asks_for_it_too(guarded, digit):
    address = f"127.0.0.1:{guarded.grpc_port}"
    for token in ("wrong", None):
        client = Client(f"grpc://{address}", token=token)
        for ask in (lambda c=client: c.status("encoder"),
                    lambda c=client: c.embed([digit(1)])):  # fmt: skip
            with pytest.raises(ValueError, match=r"UNAUTHENTICATED: .*Bearer TOKEN"):
                ask()
    client = Client(f"grpc://{address}", token=TOKEN)
    assert client.embed([digit(1)]).shape == (1, 16)
    assert client.status("encoder") == {1: "AVAILABLE"}
    with grpc.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = get_model_status_pb2.GetModelStatusRequest()
        with pytest.raises(grpc.RpcError) as error:
            stub.GetModelStatus(request, metadata=[("authorization", TOKEN)])
        asks_health = health_pb2_grpc.HealthStub(channel).Check
        health = asks_health(health_pb2.HealthCheckRequest())
    assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_the_token_comes_from_the_environment_and_is_written_nowhere(
    toy, start_server, monkeypatch
):
    monkeypatch.setenv("NPID_API_TOKEN", "of-the-environment")
    server = start_server(dataclasses.replace(toy.config))
    monkeypatch.delenv("NPID_API_TOKEN")
    x = {"x": np.ones(1, np.float32)}
    address = f"http://127.0.0.1:{server.port}"
    with pytest.raises(ValueError, match="401"):
        Client(address).predict("encoder", x)
    client = Client(address, token="of-the-environment")
    assert client.predict("encoder", x)["y"].tolist() == [3.5]
    config = ServeFlags(api_token=TOKEN)
    assert TOKEN not in repr(config) + "".join(flag_lines(config))
    assert TOKEN not in str(config.told())


def test_pages_of_allowed_origins_may_read_and_send(guarded):
    asks = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization",
    }
    status, headers, _ = headers_of(guarded.port, "OPTIONS", "/v1/items?id=7", asks)
    assert (status, headers["access-control-allow-origin"]) == (204, PAGE)
    assert "DELETE" in headers["access-control-allow-methods"]
    assert "authorization" in headers["access-control-allow-headers"]
    sent = {"Origin": PAGE, "Authorization": f"Bearer {TOKEN}"}
    for extra, code in (({}, 200), ({"Authorization": ""}, 401)):
        status, headers, _ = headers_of(
            guarded.port, "GET", "/v1/items", {**sent, **extra}
        )
        assert (status, headers["access-control-allow-origin"]) == (code, PAGE)
        assert headers["vary"] == "origin"
    asks["Origin"] = sent["Origin"] = "https://evil.example"
    status, headers, _ = headers_of(guarded.port, "OPTIONS", "/v1/items?id=7", asks)
    assert status == 403
    assert "access-control-allow-origin" not in headers
    status, headers, _ = headers_of(guarded.port, "GET", "/v1/items", sent)
    assert "access-control-allow-origin" not in headers


def test_below_a_prefix_and_without_it_all_is_the_same(guarded):
    sent = {"Authorization": f"Bearer {TOKEN}"}
    for prefix in ("", "/search"):
        assert headers_of(guarded.port, "GET", f"{prefix}/page.js")[0] == 200
        path = f"{prefix}/v1/thumbnail?id=7"
        assert headers_of(guarded.port, "GET", path, sent)[0] == 200
        path = f"{prefix}/v1/items/search%2Fa"
        status, _, body = headers_of(guarded.port, "DELETE", path, sent)
        assert (status, "'search/a'" in body.decode()) == (404, True)
    status, headers, _ = headers_of(guarded.port, "GET", "/search")
    assert (status, headers["location"]) == (308, "/search/")
    assert headers_of(guarded.port, "GET", "/searches/", sent)[0] == 404


def test_a_read_only_server_searches_and_changes_nothing(read_only, noise, digit):
    client = Client(f"http://127.0.0.1:{read_only.port}")
    assert client.search([digit(7)], k=1)["results"][0][0]["id"] == "7"
    for ask in (
        lambda: client.upsert({"a": noise}),
        lambda: client.upsert({"a": bytes(8 << 20)}),
        lambda: client.delete("7"),
    ):
        with pytest.raises(
            ValueError, match=r"403: .*read-only: it searches, and chan"
        ):
            ask()
    assert client.search(ids=["7"], k=1)["results"][0][0]["id"] == "7"
    assert read_only.ask("DELETE", "/v1/items/7")[0] == 403
    answer = {"status": "ready", "read_only": True}
    assert read_only.ask("GET", "/readyz") == (200, answer)
