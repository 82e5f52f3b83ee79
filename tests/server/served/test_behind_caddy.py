"""Behind the real Caddy: the README's block. Needs Debian's package, caddy."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest

from npid_tf.client import Client
from tests.support.requests import headers_of

README = pathlib.Path(__file__).resolve().parents[3] / "README.md"
IDS = ["a/b", "/a//b", "x/../y", "..", "%2F", "c\nd", "\0", " e ", "#?&=+;", "ä 猫"]


@pytest.fixture(scope="module")
def caddy(server, guarded, tmp_path_factory):
    """The ports of the README's block before a server, and before a guarded one."""
    if shutil.which("caddy") is None:
        pytest.skip("No Caddy on this machine: apt-get install caddy")
    text = README.read_text(encoding="utf-8")
    (block,) = re.findall(r"```caddy\n(.*?)```", text, re.DOTALL)
    assert block.startswith("photos.example {") and "127.0.0.1:8501" in block
    ports, config = [], "{\n\tadmin off\n}\n"
    for behind in (server, guarded):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
        # Without TLS, for which it would ask a certificate of the name's owner.
        names = f"http://photos.example:{ports[-1]}, http://127.0.0.1:{ports[-1]}"
        config += block.replace("photos.example", names, 1).replace(
            "127.0.0.1:8501", f"127.0.0.1:{behind.port}"
        )
    folder = tmp_path_factory.mktemp("caddy")
    (folder / "Caddyfile").write_text(config)
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    process = subprocess.Popen(
        ["caddy", "run", "--config", "Caddyfile"],
        cwd=folder,
        env={**os.environ, **homes},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(ports[-1]):
            assert process.poll() is None
            time.sleep(0.05)
        yield ports
    finally:
        process.terminate()
        process.wait()


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_readmes_block_passes_on_every_request_as_it_is(caddy, server, digit):
    client = Client(f"http://127.0.0.1:{caddy[0]}/search")
    total = server.ask("GET", "/v1/items")[1]["total"]
    assert client.search([digit(7)], k=1)["results"][0][0]["id"] == "7"
    assert client.thumbnail("7").startswith(b"\x89PNG")
    client.upsert(dict.fromkeys(IDS, digit(3)))
    for number, name in enumerate(IDS):
        client.delete(name)
        left = total + len(IDS) - 1 - number
        assert server.ask("GET", "/v1/items")[1]["total"] == left, name


def test_the_public_name_is_known_where_it_is_allowed(caddy):
    path, public = "/search/v1/items?id=no", {"Host": f"photos.example:{caddy[0]}"}
    page = {"Origin": "https://photos.example", "Sec-Fetch-Site": "same-origin"}
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert headers_of(caddy[0], "DELETE", path, public)[0] == 421
    assert headers_of(caddy[0], "DELETE", path, {**public, **page})[0] == 404
    assert headers_of(caddy[0], "DELETE", path, {**public, **evil})[0] == 403
    public = {"Host": f"photos.example:{caddy[1]}"}
    assert headers_of(caddy[1], "DELETE", path, public)[0] == 401
    public["Authorization"] = "Bearer open-sesame"
    assert headers_of(caddy[1], "DELETE", path, public)[0] == 404
    assert headers_of(caddy[1], "DELETE", path, {**public, **evil})[0] == 403
    page = headers_of(caddy[1], "GET", "/search/", public)
    assert page[0] == 200 and b'src="page.js"' in page[2]
    status, headers, _ = headers_of(caddy[1], "GET", "/search", public)
    assert (status, headers["location"]) == (302, "/search/")
