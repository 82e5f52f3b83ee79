"""What stands before every request: time, size, number, and who asks."""

import asyncio
import errno
import json
import os

import pytest

from npid_tf.errors import FileError
from npid_tf.server.http.middleware import Guard
from npid_tf.server.limits import Limits, RequestError
from npid_tf.server.metrics import Metrics

LIMITS = Limits(body_bytes=10, queue=2, seconds=0.2)


async def read_all(scope, receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def ask(guard, *chunks, method="POST", headers=(), stall=False, path="/"):
    """(status, JSON) of a request whose body comes in chunks."""
    chunks, sent = list(chunks), []

    async def receive():
        if stall and not chunks:
            await asyncio.sleep(60)
        body = chunks.pop(0) if chunks else b""
        return {
            "type": "http.request",
            "body": body,
            "more_body": bool(chunks) or stall,
        }

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost:8501"), *headers]
    if chunks or stall:
        headers.append((b"transfer-encoding", b"chunked"))
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    await guard(scope, receive, send)
    start, body = sent
    return start["status"], json.loads(body["body"])


def guard_of(app, local_only=True):
    return Guard(app, LIMITS, Metrics(), local_only)


def answer(app, *chunks, local_only=True, **options):
    return asyncio.run(ask(guard_of(app, local_only), *chunks, **options))


def test_a_body_within_bounds_is_read():
    assert answer(read_all, b"12345", b"67890") == (200, {})
    assert answer(read_all) == (200, {})


def test_a_body_that_is_too_long_is_refused_after_its_end():
    status, body = answer(read_all, b"123456", b"67890", b"x" * 1000, b"y")
    assert (status, body) == (413, {"error": "A request's body may have 10 bytes."})


def test_a_body_that_does_not_end_times_out():
    status, body = answer(read_all, b"123", stall=True)
    assert status == 408
    assert "longer than 0.2 seconds" in body["error"]
    assert answer(read_all, b"1" * 99, stall=True)[0] == 408


def test_an_answer_that_takes_too_long_is_given_up():
    async def sleep(scope, receive, send):
        await asyncio.sleep(60)

    assert answer(sleep, method="GET")[0] == 503


def test_errors_are_json_and_tell_no_more_than_they_should(capsys):
    async def refuse(scope, receive, send):
        raise RequestError(404, "Not \ud800 here")

    async def fail(scope, receive, send):
        raise RuntimeError("secret")

    assert answer(refuse) == (404, {"error": "Not \ud800 here"})
    status, body = answer(fail)
    assert status == 500
    assert "secret" not in body["error"]
    assert "RuntimeError: secret" in capsys.readouterr().err


def test_past_the_number_of_requests_more_are_refused():
    async def main():
        go_on = asyncio.Event()

        async def wait(scope, receive, send):
            await go_on.wait()
            await read_all(scope, receive, send)

        guard = guard_of(wait)
        first = [asyncio.create_task(ask(guard)) for _ in range(2)]
        await asyncio.sleep(0)
        assert (await ask(guard))[0] == 503
        go_on.set()
        assert await asyncio.gather(*first) == [(200, {})] * 2
        assert await ask(guard) == (200, {})

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_who_watches_the_server_waits_in_no_queue(path):
    async def main():
        go_on = asyncio.Event()

        async def wait(scope, receive, send):
            if scope["path"] == "/":
                await go_on.wait()
            await read_all(scope, receive, send)

        guard = guard_of(wait)
        first = [asyncio.create_task(ask(guard)) for _ in range(2)]
        await asyncio.sleep(0)
        assert (await ask(guard))[0] == 503
        assert await ask(guard, method="GET", path=path) == (200, {})
        go_on.set()
        assert await asyncio.gather(*first) == [(200, {})] * 2

        guard = guard_of(wait)
        go_on.clear()
        guard.app = lambda *scope: go_on.wait()
        watchers = [
            asyncio.create_task(ask(guard, method="GET", path=path)) for _ in range(9)
        ]
        await asyncio.sleep(0)
        assert guard.num_requests == 0
        for watcher in watchers:
            watcher.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (errno.ENOSPC, 507, "disk is full: nothing was changed"),
        (errno.EDQUOT, 507, "disk is full"),
        (errno.EIO, 500, "files fail it: Input/output error"),
        (errno.EACCES, 500, "files fail it: Permission denied"),
    ],
)
def test_a_disk_that_fails_is_named(number, status, message, capsys):
    async def write(scope, receive, send):
        error = OSError(number, os.strerror(number), "/secret/log")
        if scope["method"] == "POST":  # As the write-ahead log does.
            raise FileError(f"Could not write: {error}.") from error
        raise error

    for method in ("POST", "DELETE"):
        found = answer(write, method=method)
        assert found[0] == status
        assert message in found[1]["error"]
        assert "secret" not in found[1]["error"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "local_only", "status"),
    [
        (b"127.0.0.1:8501", True, 200),
        (b"localhost", True, 200),
        (b"[::1]:8501", True, 200),
        (b"evil.example", True, 421),
        (b"localhost.evil.example:8501", True, 421),
        (b"photos.example", False, 200),
    ],
)
def test_a_local_server_answers_to_local_names_alone(host, local_only, status):
    found = answer(read_all, headers=[(b"host", host)], local_only=local_only)
    assert found[0] == status


@pytest.mark.parametrize(
    ("origin", "method", "status"),
    [
        (b"http://localhost:8501", "POST", 200),
        (b"http://evil.example", "POST", 403),
        (b"http://localhost:9999", "DELETE", 403),
        (b"null", "POST", 403),
        (b"http://evil.example", "GET", 200),
    ],
)
def test_pages_of_other_servers_may_change_nothing(origin, method, status):
    found = answer(read_all, method=method, headers=[(b"origin", origin)])
    assert found[0] == status
