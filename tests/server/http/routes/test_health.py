"""The routes by which the server is watched."""


def test_a_server_with_an_index_is_alive_and_ready(server):
    assert server.ask("GET", "/healthz") == (200, {"status": "alive"})
    assert server.ask("GET", "/readyz") == (200, {"status": "ready"})
    status, text = server.ask("GET", "/metrics")
    assert status == 200 and b"npid" in text
