"""Starts programs on logical devices and as several workers on this machine."""

import json
import os
import pathlib
import socket
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
STEPS = REPOSITORY / "tests" / "distribution" / "programs" / "steps.py"


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [open_socket.getsockname()[1] for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()
    return ports


def start(arguments, **environment):
    """Starts a Python program in the repository; its output is kept together."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, timeout=600):
    """Waits for a program and returns its output. Fails where the program fails."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output[-3000:]
    return output


def start_workers(arguments, count=2):
    """The same program as each of several workers."""
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    return [
        start(
            [argument.format(worker=index) for argument in map(str, arguments)],
            TF_CONFIG=json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                }
            ),
        )
        for index in range(count)
    ]
