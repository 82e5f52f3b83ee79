"""Malformed requests, some hundreds here; benchmarks/fuzz_serving.py sends 10,000."""

import contextlib
import json
import os
import pathlib
import shutil

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import npid_tf
from fuzz_serving import BODY_LIMIT, Fuzzer, Watch
from npid_tf.server.serve import ServeFlags
from pressure import measure, too_much


@pytest.fixture(scope="module")
def bounded(exported, start_server, tmp_path_factory):
    """A server of an export, of small bounds, and what it logs and opens."""
    directory = str(tmp_path_factory.mktemp("fuzzed") / "export")
    shutil.copytree(exported.export_dir, directory)
    config = ServeFlags(
        export_dir=directory,
        port=0,
        grpc_port=0,
        max_body_mb=BODY_LIMIT >> 20,
        request_seconds=6.0,  # A busy machine may take seconds for a valid one.
    )
    server = start_server(config)
    # Those of other tests run on in this process, and look at their own folders.
    return server, Watch(*(one.config.export_dir for one in start_server.servers))


def test_malformed_requests_get_a_reason_and_valid_ones_an_answer(bounded):
    server, watch = bounded
    fuzzer = Fuzzer(server.port, server.grpc_port)
    with watch:
        fuzzer.run(300, slow_every=150)
    assert fuzzer.wrong == []
    assert watch.problems() == []
    assert fuzzer.answers["valid", 200] == 15
    assert {kind for kind, _ in fuzzer.answers} == {
        "valid", "slow", "oversized", "wrong document", "bad JSON", "path or method",
        "form", "no HTTP", "gRPC",
    }  # fmt: skip


def test_the_watch_notes_files_and_errors(bounded, tmp_path, capsys):
    _, watch = bounded
    with watch:
        (tmp_path / "x").write_text("x")
    assert watch.problems() == [f"opened {tmp_path / 'x'}"]
    watch.opened.clear()


def test_the_watch_passes_modules_and_the_export_alone(bounded, tmp_path):
    server, watch = bounded
    export = server.config.export_dir
    package = os.path.dirname(npid_tf.__file__)
    beside, written = f"{export}_secret", os.path.join(package, "written.py")
    outside = [beside, os.path.join(package, "serving", "web", "page.js"), written]
    with watch:
        pathlib.Path(package, "npid.py").read_text()
        pathlib.Path(export, "note").write_text("x")
        os.remove(f"{export}/note")
        for path in outside[:2]:
            with contextlib.suppress(OSError):
                open(path).close()
        with contextlib.suppress(OSError):
            os.remove(written)
    assert watch.problems() == [f"opened {path}" for path in sorted(outside)]
    watch.opened.clear()


@pytest.mark.slow
def test_no_request_takes_much_memory_or_keeps_others_waiting(exported, tmp_path):
    """The server is a process of its own, and so is what asks /healthz meanwhile."""
    directory = str(tmp_path / "export")
    shutil.copytree(exported.export_dir, directory)
    rows = list(measure(directory))
    assert len(rows) > 40
    assert too_much(rows) == []


PREDICT = "/v1/models/encoder:predict"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab\ud800\0/."),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["images", "ids", "items", "instances", "inputs", "b64", "k"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(
        [
            "/v1/search",
            "/v1/items",
            PREDICT,
            "/v1/models/neighbors/versions/1:predict",
        ]
    ),
    JSON,
)
@example(PREDICT, {"inputs": "one string, not a list of them"})
@example(PREDICT, {"inputs": "", "signature_name": "serving_bytes"})
@example(PREDICT, {"inputs": {"b64": ""}, "signature_name": "serving_bytes"})
@example(PREDICT, {"inputs": [["", ""]], "signature_name": "serving_bytes"})
def test_any_json_that_holds_no_image_is_refused(bounded, path, document):
    status, answer = bounded[0].ask("POST", path, json.dumps(document))
    assert 400 <= status < 500
    assert list(answer) == ["error"]
