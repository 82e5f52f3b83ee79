"""Asks /healthz again and again, from a process of its own:
`python benchmarks/prober.py PORT` prints how many seconds each answer took."""

import http.client
import sys
import time

while True:
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"/healthz answered {response.status}.")
    connection.close()
    print(time.monotonic() - start, flush=True)
    time.sleep(0.02)
