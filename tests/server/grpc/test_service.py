"""gRPC with the stubs of tensorflow-serving-api, as a client of the stock server."""

import concurrent.futures
import dataclasses

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.support.requests import b64


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


def tensor(dtype, dims, **fields):
    shape = tensor_shape_pb2.TensorShapeProto(dim=[{"size": size} for size in dims])
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **fields)


FLOAT, STRING, VARIANT = 1, 7, 21
HUGE = {f"i{n}": tensor(18, [1 << 25], dcomplex_val=[0, 0]) for n in range(4)}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (HUGE, "does not match signature"),
        ({"x": tensor(18, [1 << 25], dcomplex_val=[0, 0])}, "`x` must be float32"),
        ({"x": tensor(FLOAT, [1], float_val=[1]), **HUGE}, "does not match"),
        ({"x": tensor(FLOAT, [1 << 40], float_val=[1])}, "too large"),
        ({"x": tensor(FLOAT, [1 << 62, 1 << 62], float_val=[1])}, "too large"),
        ({"x": tensor(FLOAT, [-1], float_val=[1])}, "no certain shape"),
        ({"x": tensor(FLOAT, [1] * 300, float_val=[1])}, "must be float32"),
        ({"x": tensor(FLOAT, [65], float_val=[1])}, "1 to 64 images"),
        ({"x": tensor(FLOAT, [0])}, "1 to 64 images"),
        ({"x": tensor(FLOAT, [2])}, "0 values in `float_val` for 2"),
        ({"x": tensor(FLOAT, [1], float_val=[1, 2])}, "2 values in `float_val`"),
        ({"x": tensor(FLOAT, [1], int_val=[1])}, "0 values in `float_val`"),
        ({"x": tensor(FLOAT, [2], tensor_content=b"1234")}, "has 4 bytes for 2"),
        ({"x": tensor(STRING, [1], string_val=[b"x"])}, "must be float32"),
        ({"x": tensor(VARIANT, [1], variant_val=[{}])}, "must be float32"),
        ({"x": tensor(9999, [1])}, "no known dtype"),
        ({"x": tensor(0, [1])}, "no known dtype"),
    ],
    ids=range(17),
)
def test_tensors_are_priced_before_they_are_made(toy, stubs, inputs, message):
    request = predict_request({})
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(value)
    with pytest.raises(grpc.RpcError) as caught:
        stubs(toy)[0].Predict(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert message in caught.value.details()


def test_one_file_does_not_stand_for_many_that_fill_the_memory(server, stubs):
    file = tensor(STRING, [64], string_val=[b"\xff\xd8\xff" + bytes(1 << 20)])
    request = predict_request({}, "neighbors")
    request.inputs["image_bytes"].CopyFrom(file)
    with pytest.raises(grpc.RpcError, match="too large"):
        stubs(server)[0].Predict(request)


def test_the_last_value_stands_for_the_rest_of_the_shape(toy, stubs):
    request = predict_request({})
    request.inputs["x"].CopyFrom(tensor(FLOAT, [3], float_val=[2, 4]))
    response = stubs(toy)[0].Predict(request)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [4, 5, 5]


@pytest.fixture(scope="module")
def call():
    """(server, method, bytes) -> the answer to bytes that no stub would send."""
    channels = []

    def send(server, method, data, **options):
        channels.append(grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}"))
        return channels[-1].unary_unary(method)(data, timeout=20, **options)

    yield send
    for channel in channels:
        channel.close()


PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.mark.parametrize(
    "method",
    [
        PREDICT,
        "/tensorflow.serving.PredictionService/GetModelMetadata",
        "/tensorflow.serving.ModelService/GetModelStatus",
        "/grpc.health.v1.Health/Check",
    ],
)
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff\x01", b"\x0b", b"\x0a\x01\xff"])
def test_what_is_no_message_is_refused_without_a_traceback(
    toy, call, method, data, capfd
):
    with pytest.raises(grpc.RpcError) as caught:
        call(toy, method, data)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "does not decode" in caught.value.details()
    assert "Traceback" not in capfd.readouterr().err


def test_methods_that_are_not_here_are_refused_without_a_traceback(toy, call, capfd):
    with pytest.raises(grpc.RpcError) as caught:
        call(toy, "/tensorflow.serving.PredictionService/Classify", b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "Traceback" not in capfd.readouterr().err


def test_compressed_messages_are_read_as_far_as_they_may_be_long(toy, call):
    data = predict_request({"x": np.ones(60, np.float32)}).SerializeToString()
    call(toy, PREDICT, data, compression=grpc.Compression.Gzip)
    with pytest.raises(grpc.RpcError) as caught:
        call(toy, PREDICT, bytes(40 << 20), compression=grpc.Compression.Gzip)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_past_the_number_of_calls_more_are_refused_but_health_is_told(
    toy, start_server, call
):
    config = dataclasses.replace(toy.config, max_queue=1, batch_delay_ms=3000.0)
    server = start_server(config)
    data = predict_request({"x": [1.0]}).SerializeToString()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, server, PREDICT, data)
        while b"npid_waiting_rows 1.0" not in server.ask("GET", "/metrics")[1]:
            assert not first.done()
        with pytest.raises(grpc.RpcError) as caught:
            call(server, PREDICT, data)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "1 requests are being answered" in caught.value.details()
        assert call(server, "/grpc.health.v1.Health/Check", b"")
        first.result()


def check_health(server, call, name):
    request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
    answer = call(server, "/grpc.health.v1.Health/Check", request)
    status = health_pb2.HealthCheckResponse.FromString(answer).status
    return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def test_health_tells_what_readyz_tells(server, toy, call):
    assert check_health(server, call, "") == "SERVING"
    assert check_health(toy, call, "") == "NOT_SERVING"  # It has no index.
    for name in ("PredictionService", "ModelService"):
        assert check_health(toy, call, f"tensorflow.serving.{name}") == "SERVING"
    with pytest.raises(grpc.RpcError) as caught:
        check_health(server, call, "no.such.Service")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_who_watches_the_health_sees_the_server_end(toy, start_server):
    watched = start_server(dataclasses.replace(toy.config))
    with grpc.insecure_channel(f"127.0.0.1:{watched.grpc_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        request = health_pb2.HealthCheckRequest(service=PREDICT.split("/")[1])
        answers = watch(request, timeout=30)
        assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
        watched.stop()
        assert [answer.status for answer in answers] == [
            health_pb2.HealthCheckResponse.NOT_SERVING
        ]


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


def test_rest_and_grpc_answer_the_same(server, stubs, digit):
    files = [digit(row) for row in range(3)]
    body = {"inputs": {"image_bytes": [b64(file) for file in files]}}
    outputs = server.ask("POST", "/v1/models/neighbors:predict", body)[1]["outputs"]
    request = predict_request({"image_bytes": files}, "neighbors")
    response = stubs(server)[0].Predict(request)
    assert set(response.outputs) == set(outputs)
    for name, value in response.outputs.items():
        np.testing.assert_allclose(tf.make_ndarray(value), outputs[name], atol=1e-6)
    np.testing.assert_array_equal(np.array(outputs["ids"])[:, 0], range(3))
