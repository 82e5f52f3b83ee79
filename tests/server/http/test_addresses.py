"""Ids are arbitrary text: each is addressed exactly, or refused in words."""

from urllib.parse import quote

import pytest

from npid_tf.client import Client
from npid_tf.server.http.addresses import thumbnail_address
from tests.support.requests import b64

IDS = [
    "abc", "abc\n", "\nabc", "a\nbc", "abc\r\n", "abc%0A", "abc%",
    " abc", "abc ", "a b",
    "+", "a+b", "a%2Bb", ".", "..", "../abc", "x/../abc", "./abc", "a/b", "a//b",
    "/a/b",
    "a/b/", "a%2Fb", "?", "abc?id=7", "#", "abc#x", "a&id=7", "a;b", "a=b", "id", "\\",
    "ä/ö", "a\u0308", "猫", "🦉", "\0", "a\0b", "\x7f", "\u2028", "\ufffd", "\"'<>",
    "http://127.0.0.1/v1/items/7", "*", "x" * 4096, "ä" * 2000,
]  # fmt: skip


@pytest.fixture(scope="module")
def filled(server, noise):
    """The server, holding an item of each id, and the number of its others."""
    client = Client(f"http://127.0.0.1:{server.port}")
    total = server.ask("GET", "/v1/items")[1]["total"]
    for start in range(0, len(IDS), 20):
        client.upsert(dict.fromkeys(IDS[start : start + 20], noise))
    yield server
    for name in set(IDS) & _ids(server):
        client.delete(name)
    assert server.ask("GET", "/v1/items")[1]["total"] == total


def _ids(server):
    answer = server.ask("GET", "/v1/items?limit=1000")[1]
    return {item["id"] for item in answer["items"]}


@pytest.mark.parametrize("by", ["path", "query", "client"])
def test_an_id_is_deleted_alone(filled, noise, by):
    client = Client(f"http://127.0.0.1:{filled.port}")
    before = _ids(filled)
    for name in IDS:
        (found,) = client.search(ids=[name], k=1, threshold=0.9)["results"]
        assert found[0]["similarity"] > 0.99
        if by == "client":
            client.delete(name)
        else:
            form = "/v1/items/{}" if by == "path" else "/v1/items?id={}"
            address = form.format(quote(name, safe=""))
            assert filled.ask("DELETE", address) == (200, {"deleted": 1}), name
            assert filled.ask("DELETE", address)[0] == 404, name
        assert before - _ids(filled) == {name}
        client.upsert({name: noise})


def test_a_newline_after_an_address_makes_it_another(filled):
    for method, path, status in [
        ("DELETE", "/v1/items/7%0A", 404),
        ("DELETE", "/v1/items%0A?id=7", 404),
        ("GET", "/v1/items%0A", 404),
        ("GET", "/v1/thumbnail?id=7%0A", 404),
        ("GET", "/healthz%0A", 404),
        ("GET", "/%0A", 404),
        ("GET", "/v1/models/encoder/metadata%0A", 400),
        ("GET", "/v1/models/encoder%0A", 404),
    ]:
        answer = filled.ask(method, path)
        assert answer[0] == status, path
        assert list(answer[1]) == ["error"]
    assert "7" in _ids(filled)


def test_bytes_that_are_no_text_are_no_other_id(filled):
    for path in ("/v1/items/%FF", "/v1/items?id=%FF", "/v1/items/%EF%BF", "/v1/items/"):
        assert filled.ask("DELETE", path)[0] == 404
    assert "\ufffd" in _ids(filled)
    assert thumbnail_address("caf\udce9/ä") == "/v1/thumbnail?id=caf%E9%2F%C3%A4"


@pytest.mark.parametrize("name", ["", "x" * 4097, "\ud800", 7, None, ["a"]])
def test_ids_that_cannot_be_are_refused_in_words(filled, noise, name):
    body = {"items": [{"id": name, "image": b64(noise)}]}
    status, answer = filled.ask("POST", "/v1/items", body)
    assert status == 400
    assert "id must be" in answer["error"]


def test_thumbnails_come_by_id_alone(server):
    client = Client(f"http://127.0.0.1:{server.port}")
    assert client.thumbnail("7").startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="No item has the id"):
        client.thumbnail("7\n")


def test_forms_name_ids_exactly(filled):
    for name in (" abc", "abc\r\n", "ä/ö", "a\0b"):
        body = b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n'
        body += name.encode() + b"\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        status, answer = filled.ask("POST", "/v1/search", body, headers)
        assert status == 200, name
    body = body.replace(b"a\0b", b"a\xffb")
    status, answer = filled.ask("POST", "/v1/search", body, headers)
    assert status == 400
    assert "does not parse" in answer["error"]
