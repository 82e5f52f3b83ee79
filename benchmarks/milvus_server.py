"""The Milvus server that PyPI has, started and ended for a test or a benchmark.

    python3 -m venv milvus-venv
    milvus-venv/bin/pip install milvus==2.3.5 'setuptools<81'

and NPID_MILVUS_SERVER=milvus-venv/bin/milvus-server says where it is. Its embedded etcd
has a fixed port, so that a machine runs one at a time: others wait here.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

VARIABLE = "NPID_MILVUS_SERVER"
LOCK = os.path.join(tempfile.gettempdir(), "npid_milvus_server.lock")
START_SECONDS = 240


def find():
    """The path of the program milvus-server, or None."""
    return os.environ.get(VARIABLE) or shutil.which("milvus-server")


@contextlib.contextmanager
def only_one():
    """Waits until no other test or benchmark of this machine has a Milvus server."""
    with open(LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class MilvusServer:
    """A server on 127.0.0.1, whose data stay in a folder from one start to the next.

    Args:
        program: the path of milvus-server.
        folder: of the data and logs.

    Attributes:
        uri: where it answers.
    """

    def __init__(self, program, folder):
        self._program, self._folder = program, str(folder)
        self._port = _free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process = None

    def start(self):
        """Starts it, and returns when it answers."""
        os.makedirs(self._folder, exist_ok=True)
        program, metrics = os.path.join(self._folder, "bin", "milvus"), _free_port()
        command = [program, "run", "standalone"]
        if not os.path.exists(program):  # It unpacks itself, and then runs that.
            command = [self._program, "--data", self._folder]
            command += ["--proxy-port", str(self._port)]
        log = os.path.join(self._folder, "start.log")
        with open(log, "w", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                command,
                stdout=file,
                stderr=file,
                cwd=self._folder,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    # As milvus-server sets them, which would take another port where
                    # the last connections to this one are not forgotten yet.
                    "DEPLOY_MODE": "STANDALONE",
                    "METRICS_PORT": str(metrics),
                    "MILVUS_RUN_DIR": os.path.join(self._folder, "run"),
                    "LD_LIBRARY_PATH": os.path.join(self._folder, "bin"),
                },
                start_new_session=True,  # The program and the server that it starts.
            )
        for _ in range(START_SECONDS):
            with open(log, encoding="utf-8", errors="replace") as file:
                told = file.read()
            if "Ctrl+C to exit" in told or _is_well(metrics):
                return
            if self._process.poll() is not None:
                break
            time.sleep(1)
        self.kill()
        raise RuntimeError(f"The Milvus server does not start: {told[-2000:]}")

    def stop(self):
        """Ends it as an orderly shutdown does."""
        self._end(signal.SIGTERM)

    def kill(self):
        """Ends it with SIGKILL."""
        self._end(signal.SIGKILL)

    def _end(self, number):
        if self._process is None:
            return
        group, self._process, process = self._process.pid, None, self._process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        process.wait()
        for _ in range(600):
            if not _is_running(group):
                return
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _is_well(port):
    address = f"http://127.0.0.1:{port}/healthz"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read() == b"OK"
    except OSError:
        return False


def _is_running(group):
    """Whether a process of a group still runs: one that only waits to be reaped not."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                state, _, of_group = file.read().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                return True
    return False
