"""Sends malformed requests to a server of an export, and valid ones between them:
`PYTHONPATH=. python benchmarks/fuzz_serving.py --export_dir=DIR`.

Every answer to the former must be 4xx or 503 with a reason in JSON, every answer to the
latter right; the server must log no traceback, and open no file outside of the export.
Then it sends what would be large to answer (see hostile.py), each of which may take 256
MB beyond its body, while /healthz must answer within a second. Ends with status 1 where
that is not so. It changes the export's index: pass a copy.
"""

import argparse
import collections
import contextlib
import http.client
import io
import json
import logging
import os
import queue
import random
import socket
import sys
import threading

import grpc

import malformed
import malformed_messages
import npid_tf
from measure import machine, print_table
from npid_tf.server.serve import ServeFlags, serve
from pressure import show, too_much

BODY_LIMIT = 1 << 20
SECONDS = 1.0
REFUSALS = ("INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED")
MODULES = (".py", ".pyc")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
    "os.symlink", "os.truncate",
}  # fmt: skip


class Fuzzer:
    """Sends requests to a port of 127.0.0.1 and keeps what went wrong.

    `answers` counts the answers by what was sent and status, `wrong` lists those that
    should not have been.
    """

    def __init__(self, port, grpc_port, seed=0):
        self.port = port
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self.draw = random.Random(seed)
        self.answers = collections.Counter()
        self.wrong = []

    def run(self, num_requests, valid_every=20, slow_every=500):
        """Sends malformed requests, with valid and with slow ones between them."""
        kinds = [
            self._document, self._json, self._path, self._form, self._bytes,
            self._message,
        ]  # fmt: skip
        for number in range(num_requests):
            if number % valid_every == 0:
                self._valid()
            if number % slow_every == 0:
                self._check("slow", malformed.slow_bytes(self.draw), self._raw)
            elif number % (slow_every // 5) == 1:
                self._check("oversized", None, self._oversized)
            else:
                self.draw.choice(kinds)()

    def _document(self):
        path, document = malformed.bad_document(self.draw)
        body = json.dumps(document).encode()
        self._check("wrong document", ("POST", path, body), self._ask)

    def _json(self):
        self._check("bad JSON", ("POST", *malformed.bad_json(self.draw)), self._ask)

    def _path(self):
        self._check("path or method", malformed.bad_path(self.draw), self._ask)

    def _form(self):
        body, headers = malformed.bad_form(self.draw)
        self._check("form", ("POST", "/v1/search", body, headers), self._ask)

    def _bytes(self):
        self._check("no HTTP", malformed.bad_bytes(self.draw), self._raw)

    def _message(self):
        method, data = malformed_messages.bad_message(self.draw)
        try:
            self._channel.unary_unary(method)(data, timeout=60)
            code, reason = "OK", ""
        except grpc.RpcError as error:
            code, reason = error.code().name, error.details()
        self.answers["gRPC", code] += 1
        if code not in REFUSALS or not reason:
            self.wrong.append(("gRPC", code, reason, method, data[:300]))

    def _valid(self):
        body = json.dumps(
            {"images": [malformed.text(malformed.png())], "ids": ["0"], "k": 2}
        ).encode()
        status, answer = self._ask(("POST", "/v1/search", body))
        self.answers["valid", status] += 1
        results = json.loads(answer).get("results", [])
        if [len(found) for found in results] != [2, 2] or results[1][0]["id"] != "0":
            self.wrong.append(("valid", status, answer[:300]))

    def _check(self, kind, request, send):
        status, answer = send(request)
        self.answers[kind, status] += 1
        try:
            has_reason = list(json.loads(answer)) == ["error"]
        except ValueError:
            has_reason = False
        if not (400 <= status < 500 or status == 503) or not has_reason:
            self.wrong.append((kind, status, answer[:300], str(request)[:300]))

    def _ask(self, request):
        method, path, *body_and_headers = request
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            # As bytes of a path: http.client would refuse some of them itself.
            connection.putrequest(method, path.replace("'", "%27"), True, True)
            body = body_and_headers[0] if body_and_headers else b""
            headers = dict(*body_and_headers[1:])
            for name, value in {"Host": "localhost", **headers}.items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _oversized(self, _):
        body = b"x" * (BODY_LIMIT + self.draw.randint(1, BODY_LIMIT))
        return self._ask(("POST", "/v1/search", body))

    def _raw(self, data):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock:
            sock.sendall(data)
            response = http.client.HTTPResponse(sock)
            response.begin()
            return response.status, response.read()


class Watch(logging.Handler):
    """What this process logs as an error or prints to standard error, and the files
    outside of the folders of its servers that it opens or changes.

    Modules are no such files: Python reads some late, and FastAPI the sources of the
    routes. A context: only what happens within counts.
    """

    def __init__(self, *folders):
        super().__init__(logging.ERROR)
        self.messages = io.StringIO()
        self.opened = set()
        package = os.path.dirname(npid_tf.__file__)
        self._folders = tuple(map(_as_prefix, folders))
        modules = (package, sys.prefix, sys.base_prefix)
        self._modules = tuple(map(_as_prefix, modules))
        self._active = False
        sys.addaudithook(self._note)

    def __enter__(self):
        logging.getLogger().addHandler(self)
        self._redirect = contextlib.redirect_stderr(self.messages)
        self._redirect.__enter__()
        self._writes_no_bytecode = sys.dont_write_bytecode
        sys.dont_write_bytecode = True  # Of the modules read late.
        self._active = True
        return self

    def __exit__(self, *error):
        self._active = False
        sys.dont_write_bytecode = self._writes_no_bytecode
        self._redirect.__exit__(*error)
        logging.getLogger().removeHandler(self)

    def emit(self, record):
        self.messages.write(self.format(record) + "\n")

    def _note(self, event, arguments):
        if not self._active or event not in CHANGES | {"open"}:
            return
        for path in arguments[:1] if event == "open" else arguments[:2]:
            if not isinstance(path, (str, bytes)):
                continue
            path = os.path.realpath(os.fsdecode(path))
            is_module = path.startswith(self._modules) and path.endswith(MODULES)
            is_read = event == "open" and not (arguments[2] or 0) & WRITING
            if not path.startswith(self._folders) and not (is_module and is_read):
                self.opened.add(path)

    def problems(self):
        """What was logged or opened that should not have been, as lines."""
        lines = [f"opened {path}" for path in sorted(self.opened)]
        return lines + self.messages.getvalue().splitlines()


def _as_prefix(folder):
    return os.path.join(os.path.realpath(folder), "")


def start(config):
    """Serves in a thread. Returns (port, gRPC port, stop)."""
    ready = queue.Queue()
    thread = threading.Thread(
        target=serve, args=[config, lambda *ports: ready.put(ports)], daemon=True
    )
    thread.start()
    port, grpc_port, stop = ready.get()

    def stop_and_wait():
        stop()
        thread.join()

    return port, grpc_port, stop_and_wait


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export_dir", required=True)
    parser.add_argument("--num_requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    port, grpc_port, stop = start(
        ServeFlags(
            export_dir=arguments.export_dir,
            port=0,
            grpc_port=0,
            max_body_mb=BODY_LIMIT >> 20,
            request_seconds=SECONDS,
        )
    )
    fuzzer = Fuzzer(port, grpc_port, arguments.seed)
    with Watch(arguments.export_dir) as watch:
        fuzzer.run(arguments.num_requests)
    stop()
    print(f"{machine()}\n")
    rows = sorted(fuzzer.answers.items())
    print_table(["sent", "status", "answers"], [(*key, n) for key, n in rows])
    print(f"\nWrong answers: {len(fuzzer.wrong)}; tracebacks and files: "
          f"{len(watch.problems())}")  # fmt: skip
    for line in (*fuzzer.wrong, *watch.problems()):
        print(line)
    rows = show(arguments.export_dir)
    print(f"\nTook too much: {too_much(rows)}")
    sys.exit(bool(fuzzer.wrong or watch.problems() or too_much(rows)))


if __name__ == "__main__":
    main()
