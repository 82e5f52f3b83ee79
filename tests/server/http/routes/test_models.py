"""REST as TensorFlow Serving documents it: its examples, and the exported models."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.support.requests import b64


def test_the_documented_status(toy):
    status = {
        "version": "123",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in ("/v1/models/encoder", "/v1/models/encoder/versions/123"):
        assert toy.ask("GET", path) == (200, {"model_version_status": [status]})


@pytest.mark.parametrize(
    "path", ["/v1/models/encoder:predict", "/v1/models/encoder/versions/123:predict"]
)
def test_the_documented_prediction(toy, path):
    body = {"instances": [1.0, 2.0, 5.0]}
    assert toy.ask("POST", path, body) == (200, {"predictions": [3.5, 4.0, 5.5]})
    body = {"signature_name": "serving_default", "inputs": [1.0, 2, 5.0]}
    assert toy.ask("POST", path, body) == (200, {"outputs": [3.5, 4.0, 5.5]})
    body = {"inputs": {"x": [1.0]}}
    assert toy.ask("POST", path, body) == (200, {"outputs": [3.5]})


ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]


def test_the_documented_example_of_several_inputs_in_rows_and_in_columns(toy):
    path = "/v1/models/encoder:predict"
    body = {"signature_name": "sum_up", "instances": ROWS}
    expected = [
        {
            "copy_bytes": {"b64": copy},
            "sensor": row["sensor"],
            "signal": 15,
            "tag": row["tag"],
        }
        for row, copy in zip(ROWS, ["Zm9v", "YmFy"], strict=True)
    ]
    assert toy.ask("POST", path, body) == (200, {"predictions": expected})
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    columns["tag"] = [{"b64": "Zm9v"}, {"b64": "YmFy"}]
    body = {"signature_name": "sum_up", "inputs": columns}
    expected = {name: [row[name] for row in expected] for name in expected[0]}
    assert toy.ask("POST", path, body) == (200, {"outputs": expected})


def test_the_metadata_are_the_signatures_of_the_saved_model(toy):
    status, answer = toy.ask("GET", "/v1/models/encoder/versions/123/metadata")
    assert status == 200
    spec = {"name": "encoder", "signature_name": "", "version": "123"}
    assert answer["model_spec"] == spec
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_x:0",
    }
    assert list(signature["outputs"]) == ["y"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "half:predict", "{}", 404, "Servable not found for request: Latest(h"),
        ("POST", "encoder/versions/4:predict", "{}", 404, "Specific(encoder, 4)"),
        ("GET", "half", None, 404, "Could not find any versions of model half"),
        ("GET", "encoder/versions/4", None, 404, "find version 4 of model encoder"),
        ("GET", "half/metadata", None, 404, "Latest(half)"),
        ("GET", "encoder:predict", None, 400, "Malformed request: GET /v1/models/enc"),
        ("POST", "encoder:classify", "{}", 400, "Malformed request: POST"),
        ("POST", "encoder", "{}", 400, "Malformed request: POST"),
        ("GET", "encoder/versions/x", None, 400, "Failed to convert version: x"),
        ("GET", "encoder/versions/" + "9" * 5000, None, 400, "Failed to convert"),
        ("POST", "encoder:predict", "", 400, "The document is empty"),
        ("POST", "encoder:predict", "{", 400, "JSON Parse error"),
        ("POST", "encoder:predict", "[" * 10**5, 400, "JSON Parse error"),
        ("POST", "encoder:predict", "[1]", 400, "Is not object"),
        ("POST", "encoder:predict", "{}", 400, "Missing 'inputs' or 'instances' key"),
        (
            "POST",
            "encoder:predict",
            '{"signature_name": "no", "inputs": 1}',
            400,
            'signature name: "no" not found in signature def. Known: ',
        ),
        ("POST", "encoder:predict", '{"inputs": 1}', 400, "`x` must be float32"),
        ("POST", "encoder:predict", '{"inputs": []}', 400, "hold 1 to 64 images"),
        (
            "POST",
            "encoder:predict",
            '{"inputs": ["a"]}',
            400,
            "of expected type: float",
        ),
    ],
)
def test_errors_have_a_status_and_a_reason(toy, method, path, body, status, message):
    answer = toy.ask(method, f"/v1/models/{path}", body)
    assert answer[0] == status
    assert list(answer[1]) == ["error"]
    assert message in answer[1]["error"]


SAVED_MODEL_CLI = """
import sys
for name in ("npid_tf", "keras", "scann", "tensorflow_addons", "tensorflow_serving"):
    sys.modules[name] = None
from tensorflow.python.tools.saved_model_cli import main
_, *arguments = sys.argv
while arguments:
    directory, inputs, *arguments = arguments
    sys.argv = ["saved_model_cli", "run", "--dir", directory, "--tag_set=serve"]
    sys.argv += ["--signature_def=serving_default", "--inputs", inputs, "--outdir=."]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.mark.slow
def test_the_models_answer_as_saved_model_cli_does(server, digit, tmp_path):
    files = [digit(row) for row in range(3)]
    images = np.stack([tf.io.decode_png(file).numpy() for file in files])
    rows = {"instances": [{"image_bytes": b64(file)} for file in files]}
    found = server.ask("POST", "/v1/models/neighbors:predict", rows)[1]["predictions"]
    body = {"signature_name": "serving_bytes", "instances": list(map(b64, files))}
    from_files = server.ask("POST", "/v1/models/encoder:predict", body)[1]
    body = {"inputs": {"images": images.tolist()}}
    from_images = server.ask("POST", "/v1/models/encoder:predict", body)[1]

    np.save(tmp_path / "files.npy", np.array(files, object).astype("S"))
    np.save(tmp_path / "images.npy", images)
    directory = server.config.export_dir
    command = [sys.executable, "-c", SAVED_MODEL_CLI]
    command += [f"{directory}/encoder/1", "images=images.npy"]
    command += [f"{directory}/neighbors/1", "image_bytes=files.npy"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    expected = np.load(tmp_path / "embeddings.npy")
    for outputs in (from_files["predictions"], from_images["outputs"]):
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
    for name in ("ids", "similarities", "class_probabilities"):
        expected = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose([row[name] for row in found], expected, atol=1e-5)
