"""Requests a second of `npid_tf.serve`, alone and in batches, and its memory:
`PYTHONPATH=. python benchmarks/serving.py --export_dir=DIR --image_size=32`.

Clients in a process of their own ask the encoder for the embedding of one PNG each,
over connections that they keep, first of a server whose batches hold one image, then of
one whose batches hold up to 64. Pass a copy of the export: the server changes it.
"""

import argparse
import base64
import concurrent.futures
import http.client
import io
import itertools
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
from PIL import Image

from measure import machine, print_table


def start_server(export_dir, max_batch_size):
    """(process, port) of a server that is ready."""
    command = [sys.executable, "-m", "npid_tf.serve", f"--export_dir={export_dir}"]
    command += ["--port=0", "--grpc_port=0", f"--max_batch_size={max_batch_size}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.match(r"Page and REST: http://127.0.0.1:(\d+)", line):
            return process, int(found.group(1))
    raise RuntimeError("The server did not start.")


def make_bodies(image_size):
    """Requests of an image each, that differ."""
    random = np.random.default_rng(0)
    bodies = []
    for pixels in random.integers(0, 256, [64, image_size, image_size, 3], np.uint8):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        image = {"b64": base64.b64encode(file.getvalue()).decode()}
        body = {"signature_name": "serving_bytes", "instances": [image]}
        bodies.append(json.dumps(body))
    return bodies


def ask_until(end, port, bodies):
    """Seconds of each request of a client until time.monotonic() is `end`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    seconds = []
    for body in itertools.cycle(bodies):
        start = time.monotonic()
        if start > end:
            return seconds
        connection.request("POST", "/v1/models/encoder:predict", body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        seconds.append(time.monotonic() - start)
        if response.status != 200 or len(answer["predictions"]) != 1:
            raise RuntimeError(f"{response.status}: {answer}")
    raise ValueError("No requests to send.")


def load(port, num_clients, duration, bodies):
    """Seconds of each of all requests that clients send within `duration` seconds."""
    end = time.monotonic() + duration
    with concurrent.futures.ThreadPoolExecutor(num_clients) as pool:
        asking = [pool.submit(ask_until, end, port, bodies) for _ in range(num_clients)]
        return np.concatenate([future.result() for future in asking])


def resident_mb(process):
    with open(f"/proc/{process.pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("No VmRSS.")


def cpu_seconds(process):
    """Processor time that a process has used, of all its threads."""
    with open(f"/proc/{process.pid}/stat") as file:
        user, system = file.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def mean_batch(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    total, count = (
        float(re.search(rf"^npid_batch_rows_{name} (\S+)", text, re.M).group(1))
        for name in ("sum", "count")
    )
    return total / count


def measure(arguments, max_batch_size):
    """A row of the table."""
    process, port = start_server(arguments.export_dir, max_batch_size)
    try:
        bodies = make_bodies(arguments.image_size)
        clients, duration = arguments.num_clients, arguments.seconds
        load(port, clients, duration / 4, bodies)  # Warm-up.
        before, cpu = resident_mb(process), cpu_seconds(process)
        seconds = load(port, clients, duration, bodies)
        cpu = cpu_seconds(process) - cpu
        rate = len(seconds) / duration
        p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
        num_requests = len(seconds)
        while num_requests < arguments.memory_requests:
            num_requests += len(load(port, clients, duration, bodies))
        growth = resident_mb(process) / before - 1
        return [
            max_batch_size, f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}",
            f"{mean_batch(port):.1f}", f"{1e3 * cpu / len(seconds):.1f}",
            f"{before:.0f}", num_requests, f"{100 * growth:+.1f} %",
        ]  # fmt: skip
    finally:
        process.terminate()
        process.wait()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export_dir", required=True)
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--num_clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--memory_requests", type=int, default=20_000)
    arguments = parser.parse_args(arguments)
    rows = [measure(arguments, max_batch_size) for max_batch_size in (1, 64)]
    print(f"{machine()}\n{arguments.num_clients} clients, {arguments.seconds:g} s\n")
    print_table(
        ["max batch", "requests/s", "p50 ms", "p99 ms", "images a batch",
         "CPU ms each", "MB", "requests", "memory growth"],
        rows,
    )  # fmt: skip
    print(f"\nBatching: {float(rows[1][1]) / float(rows[0][1]):.2f} x the requests")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
