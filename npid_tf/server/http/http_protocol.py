"""HTTP as uvicorn speaks it, but for requests that never become one.

Ours, since uvicorn itself has no limit on how long a client may take to send a header,
answers what is no HTTP with plain text, and closes a connection before a client that is
still sending has read why: a proxy in front of it would do all that, and a server on
one machine has none. It overrides methods of uvicorn's `H11Protocol`, so a new version
of uvicorn may need changes here; tests/server/http/test_http_protocol.py tells.
"""

import h11
from uvicorn.protocols.http.h11_impl import (
    DEFAULT_MAX_INCOMPLETE_EVENT_SIZE,
    H11Protocol,
)

from npid_tf.server.http.middleware import error_body

# How long a client that got an error may continue to send.
LINGER_SECONDS = 1.0
# A chunk of a body takes longer to read than a kilobyte in it: so many may be small.
MAX_CHUNKS = 4096
CHUNK_BYTES = 256


def http_protocol(seconds):
    """A protocol for uvicorn that waits so many seconds for the header of a request."""

    class Protocol(_Protocol):
        header_seconds = seconds

    return Protocol


class _Protocol(H11Protocol):
    """Answers malformed HTTP in JSON, and gives up on headers that do not end."""

    header_seconds = None
    _header_timer = None
    _ended = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.conn = _Connection(h11.SERVER, DEFAULT_MAX_INCOMPLETE_EVENT_SIZE)

    def connection_made(self, transport):
        super().connection_made(transport)
        self._watch_header()

    def data_received(self, data):
        if self._ended:
            return  # Read, since closing on unread bytes would take the error back.
        super().data_received(data)
        self._watch_header()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._stop_timer()

    def on_response_complete(self):
        super().on_response_complete()
        self._watch_header()

    def send_400_response(self, msg):
        self._send_error(400, self.conn.refusal or msg)

    def _watch_header(self):
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(
                self.header_seconds, self._send_error, 408, "No request came in time."
            )

    def _stop_timer(self):
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _send_error(self, status, message):
        self._stop_timer()
        if self.transport.is_closing():
            return  # The timer came late; what is closing can send no end.
        # After a request that was answered, h11 can say no more on this connection.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = error_body(message)
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            for event in (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        self._ended = True
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


class _Connection(h11.Connection):
    """h11's, which refuses a body of very many small chunks."""

    refusal = None
    _num_chunks = _num_bytes = 0

    def next_event(self):
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._num_chunks = self._num_bytes = 0
        elif isinstance(event, h11.Data):
            self._num_chunks += 1
            self._num_bytes += len(event.data)
            mean = self._num_bytes / self._num_chunks
            if self._num_chunks > MAX_CHUNKS and mean < CHUNK_BYTES:
                self.refusal = (
                    f"A body may have {MAX_CHUNKS:,} chunks, and more only where they "
                    f"hold {CHUNK_BYTES} bytes or more."
                )
                raise h11.RemoteProtocolError(self.refusal)
        return event
