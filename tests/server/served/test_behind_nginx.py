"""Behind the real nginx: the README's configuration, and those that most people write.

Needs Debian's nginx (nginx-light does); the page also Chromium.
"""

import dataclasses
import pathlib
import re
import shutil
import socket
import subprocess
import time
import types

import numpy as np
import pytest

from npid_tf.client import Client
from tests.support.requests import headers_of

README = pathlib.Path(__file__).resolve().parents[3] / "README.md"
HTTP = """daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{}}
http {{
access_log off; client_body_temp_path body; proxy_temp_path proxy;
fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
{blocks}
}}
"""
IDS = ["a/b", "/a//b", "../x", "x/../y", "..", ".", "%2F", "a%0Ab", "c\nd", "\n", "\0",
       " e ", "#?&=+;", "ä 猫", "ä" * 4096]  # fmt: skip


def readme_block():
    """The README's server block, as a text to put ports into."""
    text = README.read_text(encoding="utf-8")
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert "listen 80;" in block and "http://127.0.0.1:8501/;" in block
    return block.replace("listen 80;", "listen 127.0.0.1:{port};").replace(
        "127.0.0.1:8501", "127.0.0.1:{behind}"
    )


def block(location, *lines):
    lines = "".join(f"        {line}\n" for line in lines)
    head = "server {{\n    listen 127.0.0.1:{{port}};\n    location {} {{\n"
    return f"{head.format(location)}{lines}    }}\n}}\n"


@pytest.fixture(scope="module")
def proxies(server, toy, guarded, start_server, tmp_path_factory):
    """The port of an nginx before each of some servers, each in its own way."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    if nginx is None:
        pytest.skip("No nginx on this machine: apt-get install nginx-light")
    trusting = dataclasses.replace(toy.config, trusted_proxies=("127.0.0.1",))
    alone = "proxy_pass http://127.0.0.1:{behind};"
    blocks = {
        "readme": (server, readme_block()),
        "trusted": (start_server(trusting), readme_block()),
        "alone": (server, block("/", alone)),
        "host": (server, block("/", alone, "proxy_set_header Host $host;")),
        "http_host": (server, block("/", alone, "proxy_set_header Host $http_host;")),
        "unstripped": (guarded, block("/search", alone)),
    }
    ports, texts = types.SimpleNamespace(), []
    for name, (behind, text) in blocks.items():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        setattr(ports, name, port)
        text = text.replace("{port}", str(port))
        texts.append(text.replace("{behind}", str(behind.port)))
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "nginx.conf").write_text(HTTP.format(blocks="".join(texts)))
    command = [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    process = subprocess.Popen(command)
    try:
        while not _answers(ports.unstripped):
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


def test_the_readmes_block_passes_on_every_request_as_it_is(proxies, server, digit):
    client = Client(f"http://127.0.0.1:{proxies.readme}/search")
    total = server.ask("GET", "/v1/items")[1]["total"]
    assert client.search([digit(7)], k=1)["results"][0][0]["id"] == "7"
    assert client.thumbnail("7").startswith(b"\x89PNG")
    assert client.status("encoder") == {1: "AVAILABLE"}
    client.upsert(dict.fromkeys(IDS, digit(3)))
    for number, name in enumerate(IDS):
        assert client.thumbnail(name) == digit(3)
        client.delete(name)
        left = total + len(IDS) - 1 - number
        assert server.ask("GET", "/v1/items")[1]["total"] == left, name


@pytest.mark.parametrize("way", ["alone", "host", "http_host", "readme"])
def test_its_own_page_may_ask_and_others_may_not(proxies, way):
    port = getattr(proxies, way)
    path = ("/search" if way == "readme" else "") + "/v1/items?id=no"
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    assert headers_of(port, "DELETE", path, own)[0] == 404
    # The name of a server with TLS, which this one does not see.
    own["Origin"] = "https://photos.example"
    assert headers_of(port, "DELETE", path, own)[0] == 404
    for site in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}):
        other = {"Origin": "http://evil.example", **site}
        assert headers_of(port, "DELETE", path, other)[0] == 403
    if way in ("host", "http_host"):
        # A browser that says no more than the origin, since there is no TLS.
        own = {"Origin": f"http://127.0.0.1:{port}"}
        assert headers_of(port, "DELETE", path, own)[0] == 404
        rebound = {"Host": f"evil.example:{port}"}
        assert headers_of(port, "GET", path, rebound)[0] == 421


def test_a_trusted_proxy_says_what_the_server_is_called(proxies):
    path = "/search/v1/models/encoder:predict"
    for origin, status in (
        ("http://photos.example", 400),  # It may ask, but asks nothing.
        ("https://photos.example", 403),
        ("http://evil.example", 403),
    ):
        asks = {"Host": "photos.example", "Origin": origin}
        asks["X-Forwarded-Host"] = "evil.example"  # nginx puts its own in its place.
        assert headers_of(proxies.trusted, "POST", path, asks)[0] == status
    x = {"x": np.ones(1, np.float32)}
    client = Client(f"http://127.0.0.1:{proxies.trusted}/search")
    assert client.predict("encoder", x)["y"].tolist() == [3.5]


def test_a_prefix_that_the_proxy_leaves_is_taken_off(proxies):
    for path in ("/search/page.js", "/search/healthz"):
        assert headers_of(proxies.unstripped, "GET", path)[0] == 200
    status, headers, _ = headers_of(proxies.unstripped, "GET", "/search")
    assert (status, headers["location"]) == (308, "/search/")
    client = Client(f"http://127.0.0.1:{proxies.unstripped}/search", token="no")
    with pytest.raises(ValueError, match="401"):
        client.search(ids=["7"])


def test_the_page_works_below_a_prefix(proxies, browser, digit):
    page, errors = browser.new_page(), []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(f"http://127.0.0.1:{proxies.readme}/search")  # nginx adds the slash.
    _see_neighbors(page, digit)
    assert errors == []
    page.close()


def test_the_page_asks_for_the_token_and_keeps_it_for_its_tab(proxies, browser, digit):
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{proxies.unstripped}/search/")
    page.wait_for_selector("#token:focus")
    for token, status in (("wrong", "That is not its token."), ("open-sesame", "")):
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#token-status:text-is('{status}')", state="attached")
    page.wait_for_selector("#token-form", state="hidden")
    _see_neighbors(page, digit)
    page.reload()
    page.wait_for_selector("#training li")
    assert page.locator("#token-form").is_hidden()
    page.close()


def _see_neighbors(page, digit):
    page.wait_for_selector("#training li")
    file = {"name": "7.png", "mimeType": "image/png", "buffer": digit(7)}
    page.set_input_files("#file", file)
    for name in ("7.png", "7"):
        page.wait_for_function(
            "name => document.getElementById('status').textContent.includes(name)",
            arg=f"neighbors of {name} in",
        )
        page.wait_for_function(
            "() => document.querySelector('#results img').naturalWidth > 0 "
            "&& document.querySelector('#query-image').naturalWidth > 1"
        )
        page.locator("#training button").nth(7).click()
