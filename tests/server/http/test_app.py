"""How the server is watched, and what it says to requests for nothing."""

import http.client

import pytest


def test_it_tells_that_it_lives_and_is_ready(server, toy):
    assert server.ask("GET", "/healthz") == (200, {"status": "alive"})
    assert server.ask("GET", "/readyz") == (200, {"status": "ready"})
    status, answer = toy.ask("GET", "/readyz")  # An encoder alone can predict.
    assert status == 503
    assert "No index" in answer["error"]
    assert toy.ask("GET", "/healthz")[0] == 200


def test_the_metrics_count_requests_by_route(server):
    def count():
        text = server.ask("GET", "/metrics")[1].decode()
        name = 'npid_requests_total{route="/v1/items/{name:path}",status="404"} '
        lines = [line for line in text.splitlines() if line.startswith(name)]
        assert 'npid_model_version{model="encoder"} 1.0' in text
        return float(lines[0].removeprefix(name)) if lines else 0

    before = count()
    server.ask("DELETE", "/v1/items/no")
    assert count() == before + 1


@pytest.mark.parametrize(
    "path",
    ["/no", "/redoc", "/docs/", "/docs/oauth2-redirect", "/v1", "/../../etc/passwd",
     "//", "/web", "/docs.html.j2"],
)  # fmt: skip
def test_other_addresses_are_not_found(server, path):
    status, answer = server.ask("GET", path)
    assert (status, list(answer)) == (404, ["error"])
    assert answer["error"].startswith("Not found: GET /")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/v1/items?limit=2", 200),
        ("/v1/models/encoder", 200),
        ("/", 200),
        ("/no", 404),
        ("/v1/search", 405),
    ],
)
def test_head_tells_what_get_would_without_a_body(server, path, status):
    answer = []
    for method in ("HEAD", "GET"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(method, path)
        response = connection.getresponse()
        answer.append((response.status, response.headers["content-type"]))
        body = response.read()
        assert (len(body) > 0) == (method == "GET")
        size = int(response.headers["content-length"])
        connection.close()
    assert answer[0] == answer[1]
    assert answer[0][0] == status
    assert size == len(body)
