"""What hostile requests cost a server: its memory, and the time /healthz takes.

`PYTHONPATH=. python benchmarks/pressure.py --export_dir=DIR` prints a table.
"""

import argparse
import concurrent.futures
import contextlib
import os
import re
import subprocess
import sys
import threading
import time

import hostile
from measure import machine, print_table

BODY_MB = 32
MAX_GROWTH_MB = 256
MAX_SECONDS = 1.0
AT_ONCE = 4


@contextlib.contextmanager
def served(export_dir):
    """(process id, port, gRPC port) of a server of its own."""
    command = [sys.executable, "-m", "npid_tf.serve", f"--export_dir={export_dir}"]
    command += ["--port=0", "--grpc_port=0", f"--max_body_mb={BODY_MB}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            found = re.search(r"127.0.0.1:(\d+), gRPC: 127.0.0.1:(\d+)", line)
            if found:
                break
        else:
            raise RuntimeError("The server did not start.")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield process.pid, int(found[1]), int(found[2])
    finally:
        process.terminate()
        process.wait(60)


class Prober:
    """Asks /healthz in another process all the time; a context."""

    def __init__(self, port):
        self._port = port
        self._seconds = []
        self._answered = threading.Event()

    def __enter__(self):
        path = os.path.join(os.path.dirname(__file__), "prober.py")
        self._process = subprocess.Popen(
            [sys.executable, path, str(self._port)], stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()
        self._thread.join()

    def _read(self):
        for line in self._process.stdout:
            self._seconds.append(float(line))
            self._answered.set()

    def reset(self):
        self._seconds = []

    def longest(self):
        """The most seconds of an answer since `reset`, the one being awaited too."""
        self._answered.clear()
        if not self._answered.wait(60):
            raise RuntimeError("/healthz is not answered.")
        return max(self._seconds)


def status_mb(pid, field):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"No {field}.")


def measure(export_dir, kinds=None):
    """Yields (kind, status, MB more than just before, MB more than the least before,
    seconds, most seconds of /healthz).

    Each kind is sent once alone, which is what the memory is of, then four at once.
    """
    with served(export_dir) as (pid, port, grpc_port), Prober(port) as prober:
        hostile.ask_for_one(port)
        least = status_mb(pid, "VmRSS")
        time.sleep(3)
        yield "nothing", "", 0, 0, 3, prober.longest()
        for kind, send in hostile.requests((BODY_MB << 20) - 4096):
            if kinds is not None and kind not in kinds:
                continue
            before = status_mb(pid, "VmRSS")
            least = min(least, before)
            with open(f"/proc/{pid}/clear_refs", "w") as file:
                file.write("5")  # Forget the peak so far.
            prober.reset()
            start = time.monotonic()
            status = send(port, grpc_port)
            seconds = time.monotonic() - start
            peak = status_mb(pid, "VmHWM")
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(send, [port] * AT_ONCE, [grpc_port] * AT_ONCE))
            # What earlier requests left is freed in part later: both are told.
            growth = (peak - before, peak - least)
            yield kind, status, *growth, seconds, prober.longest()


def too_much(rows):
    """Those of the rows that took more than a request may."""
    most = MAX_GROWTH_MB + BODY_MB
    return [row for row in rows if row[2] > most or row[5] > MAX_SECONDS]


def show(export_dir, kinds=None):
    """The rows of `measure`, printed as they come."""
    print_table(["sent", "status", "MB", "MB, all", "s", "/healthz, most ms"], [])
    rows = []
    for row in measure(export_dir, kinds):
        kind, status, growth, with_rest, seconds, longest = row
        print(f"| {kind} | {status} | {growth:.0f} | {with_rest:.0f} | {seconds:.1f} | "
              f"{1e3 * longest:.0f} |", flush=True)  # fmt: skip
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export_dir", required=True)
    parser.add_argument("--kinds", nargs="*")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    rows = show(arguments.export_dir, arguments.kinds)
    print(f"\nToo much: {too_much(rows)}")
    sys.exit(bool(too_much(rows)))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
