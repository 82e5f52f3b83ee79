"""The program: what it prints, how it ends, and what it says to a user's mistakes."""

import http.client
import re
import signal
import subprocess
import sys

import pytest

from npid_tf.serve import main
from npid_tf.server.serve import ServeFlags, serve
from tests.support.given import given


def test_it_serves_until_sigterm_and_ends_well(exported):
    command = [sys.executable, "-m", "npid_tf.serve", "--port=0", "--grpc_port=0"]
    command += [f"--export_dir={exported.export_dir}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        for line in process.stdout:
            if line.startswith("Page and REST:"):
                break
        port = int(re.search(r"http://127.0.0.1:(\d+)", line).group(1))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.stdout.close()


def test_without_an_export_it_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="--export_dir"):
        serve(ServeFlags())
    with pytest.raises(ValueError, match=r"No encoder in .* Make one with"):
        serve(ServeFlags(export_dir=str(tmp_path)))
    with pytest.raises(ValueError, match="Unexpected arguments: y"):
        main(given(arguments=["x", "y"]))


def test_without_the_extra_the_error_names_it(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("npid_tf.server")]:
        if name != "npid_tf.server.serve":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"npid_tf\[serving\]"):
        serve(ServeFlags(export_dir=str(tmp_path)))


@pytest.mark.parametrize(
    "wrong", [{"max_batch_size": 0}, {"batch_delay_ms": -1.0}, {"request_seconds": 0.0}]
)
def test_bounds_that_allow_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServeFlags(**wrong)
