"""TensorFlow Serving's gRPC services: PredictionService and ModelService."""

import asyncio
import math
import time
import traceback

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from npid_tf.errors import UserError
from npid_tf.serving import protos
from npid_tf.serving.grpc_token import CheckToken
from npid_tf.serving.limits import RequestError, abridged

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}


async def start_grpc(service, address, access=None):
    """Starts a gRPC server that answers from a Service those whom Access lets ask.

    Returns (grpc.aio.Server, its port). Raises ValueError where the address is taken.
    """
    limits = service.limits
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=limits.queue,
        interceptors=[] if access is None else [CheckToken(access)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _ModelService(service), server
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise UserError(f"Cannot listen at {address}: {error}") from None
    await server.start()
    return server, port


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service):
        self._service = service

    async def Predict(self, request, context):
        return await _answer(self._service, self._predict, request, context)

    async def GetModelMetadata(self, request, context):
        return await _answer(self._service, self._metadata, request, context)

    async def _predict(self, request):
        service = self._service
        servable = service.models.get(*_name_and_version(request))
        signature = request.model_spec.signature_name or "serving_default"
        wanted = list(request.output_filter)
        _check_filter(wanted, servable.output_names(signature))
        inputs = await service.compute(
            request.ByteSize(), _to_arrays, request.inputs, service.limits
        )
        outputs = await service.predict(servable, signature, inputs, wanted)
        response = predict_pb2.PredictResponse(
            model_spec=protos.model_spec(servable, signature)
        )
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    async def _metadata(self, request):
        servable = self._service.models.get(*_name_and_version(request))
        if list(request.metadata_field) != ["signature_def"]:
            raise RequestError(
                400, "`metadata_field` must be signature_def alone, which is known."
            )
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=protos.model_spec(servable)
        )
        signatures = protos.signature_def_map(servable)
        response.metadata["signature_def"].Pack(signatures)
        return response


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service):
        self._service = service

    async def GetModelStatus(self, request, context):
        return await _answer(self._service, self._status, request, context)

    async def _status(self, request):
        models = self._service.models
        return protos.status_response(models, *_name_and_version(request))


async def _answer(service, method, request, context):
    """What `method` returns; its RequestError as a gRPC status."""
    start = time.monotonic()
    status = "OK"
    try:
        async with asyncio.timeout(service.limits.seconds):
            return await method(request)
    except TimeoutError:
        status = "DEADLINE_EXCEEDED"
        message = f"The request took longer than {service.limits.seconds:g} seconds."
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, message)
    except RequestError as error:
        code = CODES[error.status]
        status = code.name
        await context.abort(code, error.message)
    except Exception as error:  # Every call gets an answer; the log has it.
        status = "INTERNAL"
        traceback.print_exception(error)
        message = "Internal error; the server's log tells more."
        await context.abort(grpc.StatusCode.INTERNAL, message)
    finally:
        service.metrics.count(
            f"grpc {method.__name__.strip('_')}", status, time.monotonic() - start
        )


def _name_and_version(request):
    spec = request.model_spec
    if not spec.name:
        raise RequestError(400, "Missing ModelSpec")
    if spec.version_label:
        raise RequestError(400, "Version labels are not kept here: pass a version.")
    return spec.name, spec.version.value if spec.HasField("version") else None


def _check_filter(wanted, known):
    for name in wanted:
        if name not in known:
            raise RequestError(
                400,
                f"output tensor alias not found in signature: {abridged(name)} Outputs "
                f"expected to be in the set {{{','.join(sorted(known))}}}.",
            )


def _to_arrays(protos_by_name, limits):
    """{name: array} of TensorProtos, which must not fill more than was sent."""
    arrays = {}
    for name, proto in protos_by_name.items():
        # One value may stand for all of a shape: a few bytes could fill the memory.
        shape = [dim.size for dim in proto.tensor_shape.dim]
        if min(shape, default=0) < 0 or math.prod(shape) > limits.body_bytes:
            raise RequestError(
                413, f"`{abridged(name)}` is too large. Received: {abridged(shape)}."
            )
        try:
            arrays[name] = tf.make_ndarray(proto)
        except (TypeError, ValueError, KeyError) as error:
            raise RequestError(
                400, f"`{abridged(name)}` is no tensor: {abridged(error)}"
            ) from None
    return arrays
