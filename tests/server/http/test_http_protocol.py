"""What is no HTTP gets an answer in JSON, and what does not end is ended."""

import dataclasses
import json
import socket
import time

import pytest


@pytest.fixture(scope="module")
def impatient(toy, start_server):
    """A server of the toy model that waits a second."""
    return start_server(dataclasses.replace(toy.config, request_seconds=1.0))


def send(server, *parts, pause=0.0):
    """All that comes back for the parts of a connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def read(answer):
    """(status, JSON) of the last response."""
    head, _, body = answer.rpartition(b"\r\n\r\n")
    assert b"application/json" in head
    return int(head.rpartition(b"HTTP/1.1 ")[2].split()[0]), json.loads(body)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 10**5 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_gets_a_reason(impatient, data):
    status, body = read(send(impatient, data))
    assert 400 <= status < 500
    assert list(body) == ["error"]


CHUNKED = b"POST /v1/items HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_body_of_very_many_small_chunks_is_refused(impatient):
    status, body = read(send(impatient, CHUNKED + b"1\r\nx\r\n" * 20_000))
    assert status == 400
    assert "4,096 chunks" in body["error"]


def test_a_body_of_many_large_chunks_or_some_small_ones_is_read(impatient):
    local = CHUNKED.replace(b": a", b": localhost")
    for chunk, number in ((b"200\r\n%b\r\n" % bytes(512), 5000), (b"1\r\nx\r\n", 4000)):
        parts = local + chunk * number + b"0\r\n\r\n"
        part = parts.replace(b"chunked\r\n", b"chunked\r\nConnection: close\r\n", 1)
        status, body = read(send(impatient, part))
        assert (status, "JSON Parse" in body["error"]) == (400, True)


def test_the_reason_reaches_a_client_that_still_sends(impatient):
    parts = [b"GET / HTTP/1.1\r\nHost: a\r\n"] + [b"X: " + b"y" * 10**5] * 5
    assert read(send(impatient, *parts, pause=0.01))[0] == 400


def test_a_client_that_sends_on_is_cut_off(impatient):
    with pytest.raises(ConnectionError):
        send(impatient, *[b"hello\r\n\r\n"] * 100, pause=0.05)


@pytest.mark.timing
def test_a_header_that_does_not_end_is_given_up(impatient):
    start = time.monotonic()
    assert read(send(impatient, b"GET / HTT"))[0] == 408
    assert read(send(impatient, b""))[0] == 408
    assert 1.5 < time.monotonic() - start < 15


def test_so_is_the_header_of_a_second_request(impatient):
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = send(impatient, request, b"GET /hea", pause=0.1)
    assert answer.startswith(b"HTTP/1.1 200")
    assert read(answer)[0] == 408


def test_a_body_that_does_not_end_is_given_up(impatient):
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
    status, body = read(send(impatient, head + b'{"ids"'))
    assert (status, list(body)) == (408, ["error"])
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert read(send(impatient, request)) == (200, {"status": "alive"})
