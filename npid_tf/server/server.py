"""Runs the HTTP and the gRPC server beside each other, until a signal drains them."""

import asyncio
import ctypes
import platform
import signal
import socket
import threading

import uvicorn

from npid_tf.errors import UserError
from npid_tf.server.grpc.service import start_grpc
from npid_tf.server.http.app import build_app
from npid_tf.server.http.http_protocol import http_protocol

# Of glibc's malloc: larger blocks go back to the system when they are freed. It would
# raise that bound to 32 MB by itself, and keep the holes that large bodies leave.
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 8 << 20
LOOPBACK = ("127.0.0.1", "localhost", "::1")


async def run_server(service, host, port, grpc_port, started=None, access=None):
    """Serves until SIGTERM or SIGINT, then answers what has come and returns.

    Args:
        service: Service, not yet started.
        host: address to listen at.
        port, grpc_port: of HTTP and gRPC, 0 for any that is free.
        started: called with (port of HTTP, port of gRPC, stop) when it answers;
            `stop()`, in any thread, does what SIGTERM does.
        access: Access; None: as it is without any flag.

    Raises:
        ValueError: if the export cannot be served, or an address is taken.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    await service.start()
    try:
        http_socket = _listen(host, port)
        grpc_address = f"[{host}]" if ":" in host else host
        grpc_server, grpc_port = await start_grpc(
            service, f"{grpc_address}:{grpc_port}", access
        )
        config = uvicorn.Config(
            build_app(service, host in LOOPBACK, access),
            http=http_protocol(service.limits.seconds),
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # Access tells which are believed, and of whom.
            timeout_graceful_shutdown=round(service.limits.seconds),
        )
        server = _Server(config, grpc_server, service)
        if started is not None:
            ports = (http_socket.getsockname()[1], grpc_port)
            server.when_started = lambda: started(*ports, server.stop)
        if threading.current_thread() is threading.main_thread():
            # uvicorn drains, then raises the signal again for what was there before.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: None)
        await server.serve([http_socket])
    finally:
        await service.close()


def _listen(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(f"Cannot listen at {host}:{port}: {error.strerror}.") from None


class _Server(uvicorn.Server):
    """uvicorn's, and gRPC's that ends with it."""

    def __init__(self, config, grpc_server, service):
        super().__init__(config)
        self.when_started = lambda: None
        self._grpc_server = grpc_server
        self._service = service

    def stop(self):
        self.should_exit = True

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.when_started()

    async def shutdown(self, sockets=None):
        self._service.is_ending = True
        await asyncio.gather(
            self._grpc_server.stop(self.config.timeout_graceful_shutdown),
            super().shutdown(sockets),
        )
