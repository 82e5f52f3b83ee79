"""What stands before every HTTP request: bounds, error bodies, and the count."""

import asyncio
import json
import time
import traceback

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from npid_tf.serving.limits import RequestError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """ASGI middleware: an answer in time, or an error as {"error": why}.

    Args:
        app: the ASGI application.
        limits, metrics: Limits and Metrics.
        local_only: answer only requests that name this machine as their host, so that
            no web page can reach the server through a name of its own.
    """

    def __init__(self, app, limits, metrics, local_only):
        self.app = app
        self.limits = limits
        self.metrics = metrics
        self.local_only = local_only
        self.num_requests = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.monotonic()
        body = _Body(receive, self.limits.body_bytes)
        status = None

        async def watch(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.num_requests += 1
        try:
            await self._answer(scope, body, watch)
        except ClientDisconnect:
            status = "disconnect"
        except Exception as error:  # Every request gets an answer.
            error = _as_request_error(error)
            if status is None:
                await error_response(error)(scope, receive, watch)
        finally:
            self.num_requests -= 1
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.count(route, status, time.monotonic() - start)

    async def _answer(self, scope, body, send):
        try:
            async with asyncio.timeout(self.limits.seconds):
                body.check_length(scope)
                self._check(scope)
                await self.app(scope, body.receive, send)
        except TimeoutError:
            raise RequestError(
                503 if body.is_complete else 408,
                f"The request took longer than {self.limits.seconds:g} seconds.",
            ) from None

    def _check(self, scope):
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self.local_only and _without_port(host) not in LOOPBACK:
            raise RequestError(
                421,
                "This server answers requests to localhost alone. Start it with "
                "--host=ADDRESS to answer others.",
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        is_foreign = origin and origin.partition("://")[2] != host
        if is_foreign and scope["method"] not in ("GET", "HEAD"):
            raise RequestError(403, "Pages of other servers may not send this.")
        if self.num_requests > self.limits.queue:
            raise RequestError(
                503, f"{self.limits.queue} requests are being answered. Try again."
            )


class _Body:
    """The body of a request, as long as it is no longer than it may be."""

    def __init__(self, receive, max_bytes):
        self._receive = receive
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self.is_complete = False

    def check_length(self, scope):
        headers = dict(scope["headers"])
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            self.is_complete = True

    async def receive(self):
        message = await self._receive()
        self._note(message)
        if self._num_bytes > self._max_bytes:
            # Read to its end, or the client would not see the answer for its own haste.
            while not self.is_complete:
                self._note(await self._receive())
            raise RequestError(
                413, f"A request's body may have {self._max_bytes:,} bytes."
            )
        return message

    def _note(self, message):
        self._num_bytes += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.is_complete = True


def _without_port(host):
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _as_request_error(error):
    if isinstance(error, RequestError):
        return error
    traceback.print_exception(error)
    return RequestError(500, "Internal error; the server's log tells more.")


def error_response(error):
    """What a RequestError is answered with."""
    # After 408 the rest of a body may still come: it is no other request.
    headers = {503: {"retry-after": "1"}, 408: {"connection": "close"}}
    headers = headers.get(error.status, {})
    return _json(error_body(error.message), error.status, headers)


def error_body(message):
    """The JSON of an error, bytes."""
    return json.dumps({"error": message}).encode()


def json_response(value):
    """A Response of a JSON value, in ASCII: ids may hold what no encoding takes."""
    return _json(json.dumps(value).encode(), 200, {})


def _json(body, status, headers):
    headers = {"x-content-type-options": "nosniff", **headers}
    return Response(body, status, headers, "application/json")
