"""gRPC with the stubs of tensorflow-serving-api, as a client of the stock server."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


@pytest.fixture(scope="module")
def stubs():
    """(server) -> its PredictionServiceStub and ModelServiceStub."""
    channels = []

    def connect(server):
        channels.append(grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}"))
        return (
            prediction_service_pb2_grpc.PredictionServiceStub(channels[-1]),
            model_service_pb2_grpc.ModelServiceStub(channels[-1]),
        )

    yield connect
    for channel in channels:
        channel.close()


def predict_request(inputs, name="encoder", signature="", version=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


@pytest.mark.parametrize("version", [None, 123])
def test_predict_answers_and_says_which_version_did(toy, stubs, version):
    inputs = {"x": np.array([1, 2, 5], np.float32)}
    response = stubs(toy)[0].Predict(predict_request(inputs, version=version))
    np.testing.assert_array_equal(
        tf.make_ndarray(response.outputs["y"]), np.array([3.5, 4, 5.5], np.float32)
    )
    assert response.model_spec.name == "encoder"
    assert response.model_spec.version.value == 123
    assert response.model_spec.signature_name == "serving_default"


def test_the_output_filter_chooses_the_outputs(toy, stubs):
    inputs = {
        "tag": [b"foo"],
        "signal": np.ones([1, 5], np.int32),
        "sensor": np.ones([1, 2, 2], np.int64),
    }
    request = predict_request(inputs, signature="sum_up")
    response = stubs(toy)[0].Predict(request)
    assert set(response.outputs) == {"tag", "copy_bytes", "signal", "sensor"}
    assert response.outputs["tag"].string_val[:] == [b"foo"]
    request.output_filter.append("signal")
    response = stubs(toy)[0].Predict(request)
    assert {name: tf.make_ndarray(v) for name, v in response.outputs.items()} == {
        "signal": 5
    }


def test_the_metadata_are_the_signatures(toy, stubs):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "encoder"
    request.metadata_field.append("signature_def")
    response = stubs(toy)[0].GetModelMetadata(request)
    assert response.model_spec.version.value == 123
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    shapes = signatures.signature_def["sum_up"].inputs
    assert [dim.size for dim in shapes["sensor"].tensor_shape.dim] == [-1, 2, 2]


def test_the_status_of_the_versions(toy, stubs):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "encoder"
    (entry,) = stubs(toy)[1].GetModelStatus(request).model_version_status
    assert (entry.version, entry.State.Name(entry.state)) == (123, "AVAILABLE")
    assert entry.status.error_code == 0


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (predict_request({}, "half"), "NOT_FOUND", "request: Latest(half)"),
        (predict_request({}, version=4), "NOT_FOUND", "Specific(encoder, 4)"),
        (predict_request({}, ""), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (predict_request({}), "INVALID_ARGUMENT", "size does not match signature"),
        (predict_request({"x": [1]}), "INVALID_ARGUMENT", "`x` must be float32"),
        (
            predict_request({"x": [[1.0]]}),
            "INVALID_ARGUMENT",
            "Received: float32 [1, 1]",
        ),
        (
            predict_request({}, signature="no"),
            "INVALID_ARGUMENT",
            'name: "no" not found',
        ),
    ],
)
def test_errors_have_a_code_and_a_reason(toy, stubs, request_, code, message):
    with pytest.raises(grpc.RpcError) as caught:
        stubs(toy)[0].Predict(request_)
    assert caught.value.code().name == code
    assert message in caught.value.details()


def test_a_few_bytes_that_stand_for_a_huge_tensor_are_refused(toy, stubs):
    request = predict_request({"x": [1.0]})
    del request.inputs["x"].tensor_shape.dim[:]
    for _ in range(3):
        request.inputs["x"].tensor_shape.dim.add(size=10**6)
    with pytest.raises(grpc.RpcError, match="too large"):
        stubs(toy)[0].Predict(request)


def test_unknown_outputs_fields_and_labels_are_refused(toy, stubs):
    request = predict_request({"x": [1.0]})
    request.output_filter.append("z")
    with pytest.raises(grpc.RpcError, match=r"alias not found in signature: z .*\{y\}"):
        stubs(toy)[0].Predict(request)
    request = predict_request({"x": [1.0]})
    request.model_spec.version_label = "stable"
    with pytest.raises(grpc.RpcError, match="labels are not kept"):
        stubs(toy)[0].Predict(request)
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "encoder"
    with pytest.raises(grpc.RpcError, match="`metadata_field` must be"):
        stubs(toy)[0].GetModelMetadata(request)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half"
    with pytest.raises(grpc.RpcError, match="Could not find any versions"):
        stubs(toy)[1].GetModelStatus(request)


def test_rest_and_grpc_answer_the_same(server, stubs, digit, b64):
    files = [digit(row) for row in range(3)]
    body = {"inputs": {"image_bytes": [b64(file) for file in files]}}
    outputs = server.ask("POST", "/v1/models/neighbors:predict", body)[1]["outputs"]
    request = predict_request({"image_bytes": files}, "neighbors")
    response = stubs(server)[0].Predict(request)
    assert set(response.outputs) == set(outputs)
    for name, value in response.outputs.items():
        np.testing.assert_allclose(tf.make_ndarray(value), outputs[name], atol=1e-6)
    np.testing.assert_array_equal(np.array(outputs["ids"])[:, 0], range(3))
