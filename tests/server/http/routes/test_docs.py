"""What /docs and /openapi.json tell is what the server does."""

import re

import pytest

from npid_tf.server.http.requests import Error
from npid_tf.server.http.routes.items import Deleted, Items, Upserted
from npid_tf.server.http.routes.search import Found
from tests.support.requests import b64, headers_of


@pytest.fixture
def document(server):
    status, document = server.ask("GET", "/openapi.json")
    assert status == 200
    return document


def test_every_route_of_ours_is_told_and_none_of_others(document):
    routes = {
        (method, path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert routes == {
        ("post", "/v1/search"),
        ("post", "/v1/items"),
        ("get", "/v1/items"),
        ("delete", "/v1/items"),
        ("delete", "/v1/items/{name}"),
        ("get", "/v1/thumbnail"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"]
            told = {each["name"] for each in operation.get("parameters", [])}
            assert set(re.findall("{(.*?)}", path)) <= told


def test_bodies_and_parameters_are_those_that_are_taken(document):
    def schema(method, path):
        body = document["paths"][path][method]["requestBody"]
        return body["content"]["application/json"]["schema"]

    search = schema("post", "/v1/search")
    assert search["properties"].keys() == {"images", "ids", "k", "threshold"}
    assert search["properties"]["k"]["default"] == 10
    assert search["additionalProperties"] is False
    item = schema("post", "/v1/items")["properties"]["items"]["items"]
    assert item["required"] == ["id", "image"]
    assert item["properties"].keys() == {"id", "image", "label"}
    page = document["paths"]["/v1/items"]["get"]["parameters"]
    assert [(each["name"], each["schema"]["maximum"]) for each in page] == [
        ("offset", 2**62),
        ("limit", 1000),
    ]


def test_answers_are_as_they_are_told(server, noise):
    for model, method, path, body in (
        (Upserted, "POST", "/v1/items", {"items": [{"id": "a", "image": b64(noise)}]}),
        (Found, "POST", "/v1/search", {"ids": ["a", "7"], "k": 3}),
        (Items, "GET", "/v1/items?limit=3", None),
        (Deleted, "DELETE", "/v1/items?id=a", None),
        (Error, "DELETE", "/v1/items?id=a", None),
    ):
        model.model_validate(server.ask(method, path, body)[1])


def test_the_page_tells_all_routes_and_loads_nothing_from_elsewhere(server):
    status, headers, content = headers_of(server.port, "GET", "/docs")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    content = content.decode()
    for name in ("POST /v1/search", "DELETE /v1/items/{name}", "threshold", "b64"):
        assert name in content
    loaded = set(re.findall(r'(?:src|href)="([^"#]+)"', content))
    assert loaded == {"data:,", "page.css", "openapi.json"}
    assert "<script" not in content


def test_other_names_of_the_server_get_neither(server):
    for path in ("/docs", "/openapi.json"):
        assert server.ask("GET", path, None, {"Host": "evil.example"})[0] == 421
