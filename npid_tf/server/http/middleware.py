"""What stands before every HTTP request: bounds, error bodies, and the count."""

import asyncio
import contextlib
import errno
import json
import time
import traceback

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from npid_tf.errors import FileError, UnavailableError, is_of_user
from npid_tf.errors.printable import printable
from npid_tf.server.http.access import PREFLIGHT, Access
from npid_tf.server.http.addresses import without_prefix
from npid_tf.server.limits import RequestError

WATCHED = ("/healthz", "/readyz", "/metrics")


class Guard:
    """ASGI middleware: an answer in time, or an error as {"error": why}.

    Args:
        app: the ASGI application.
        limits, metrics: Limits and Metrics.
        local_only: answer only requests that name this machine as their host, so that
            no web page can reach the server through a name of its own.
        access: Access.
    """

    def __init__(self, app, limits, metrics, local_only, access=None):
        self.app = app
        self.limits = limits
        self.metrics = metrics
        self.local_only = local_only
        self.access = access or Access()
        self.num_requests = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.monotonic()
        scope = without_prefix(scope, self.access.root_path)
        more_headers = self.access.headers_for(scope)
        if scope["method"] == "HEAD":  # As GET, the body of which the server drops.
            scope["method"] = "GET"
        body = _Body(receive, self.limits.body_bytes)
        status = None

        async def watch(message):
            nonlocal status
            if status is None and message["status"] != 408:
                await body.drain(self.limits.seconds)
            status = message.get("status", status)
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more_headers]
            await send(message)

        # Who watches the server must be answered when nobody else is.
        is_counted = scope["path"] not in WATCHED
        self.num_requests += is_counted
        try:
            await self._answer(scope, body, watch, is_counted)
        except ClientDisconnect:
            status = "disconnect"
        except Exception as error:  # Every request gets an answer.
            error = _as_request_error(error)
            if status is None:
                # It holds up no others while the rest of its body comes.
                self.num_requests -= is_counted
                is_counted = False
                await error_response(error)(scope, receive, watch)
        finally:
            self.num_requests -= is_counted
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.count(route, status, time.monotonic() - start)

    async def _answer(self, scope, body, send, is_counted):
        try:
            async with asyncio.timeout(self.limits.seconds):
                body.check_length(scope)
                self._check(scope)
                if is_counted and self.num_requests > self.limits.queue:
                    raise RequestError(
                        503,
                        f"{self.limits.queue} requests are being answered. Try again.",
                    )
                answer = self._answer_itself(scope) or self.app
                await answer(scope, body.receive, send)
        except TimeoutError:
            raise RequestError(
                503 if body.is_complete else 408,
                f"The request took longer than {self.limits.seconds:g} seconds.",
            ) from None

    def _answer_itself(self, scope):
        """A Response to what only asks how to ask, or None."""
        if self.access.is_preflight(scope):
            return Response(None, 204, PREFLIGHT)
        if self.access.root_path and scope["path"] == self.access.root_path:
            # The page's addresses are relative to its own, which ends with a slash.
            return Response(None, 308, {"location": f"{self.access.root_path}/"})
        return None

    def _check(self, scope):
        self.access.check(scope, self.local_only)


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

    async def drain(self, seconds):
        """Reads the rest of it, since a client that is still sending sees no answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.is_complete:
                    self._note(await self._receive())

    def _note(self, message):
        self._num_bytes += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.is_complete = True


def _as_request_error(error):
    if isinstance(error, RequestError):
        return error
    cause = error.__cause__ if isinstance(error, FileError) else error
    if isinstance(cause, OSError) and is_of_user(cause):
        print(f"A request failed for the disk: {printable(str(error))}", flush=True)
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return RequestError(507, "The server's disk is full: nothing was changed.")
        return RequestError(500, f"The server's files fail it: {cause.strerror}.")
    if isinstance(error, UnavailableError):
        return RequestError(503, str(error))
    traceback.print_exception(error)
    return RequestError(500, "Internal error; see the server's log.")


def error_response(error):
    """What a RequestError is answered with."""
    # After 408 the rest of a body may still arrive: it is not another request.
    headers = {
        401: {"www-authenticate": 'Bearer realm="npid_tf"'},
        408: {"connection": "close"},
        503: {"retry-after": "1"},
    }
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
