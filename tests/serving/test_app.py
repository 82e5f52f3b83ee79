"""How the server is watched, and what it says to requests for nothing."""

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
    "path", ["/no", "/docs", "/openapi.json", "/v1", "/../../etc/passwd", "//", "/web"]
)
def test_other_addresses_are_not_found(server, path):
    status, answer = server.ask("GET", path)
    assert (status, list(answer)) == (404, ["error"])
    assert answer["error"].startswith("Not found: GET /")
