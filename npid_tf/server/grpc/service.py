"""TensorFlow Serving's gRPC services: PredictionService and ModelService."""

import asyncio
import time
import traceback

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from npid_tf.errors import UserError
from npid_tf.server.grpc import protos, tensor_protos
from npid_tf.server.grpc.health import health_handler
from npid_tf.server.grpc.token import CheckToken
from npid_tf.server.grpc.wire_price import read_message
from npid_tf.server.limits import RequestError, abridged

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"


async def start_grpc(service, address, access=None):
    """Starts a gRPC server that answers from a Service those whom Access lets ask.

    Returns (grpc.aio.Server, its port). Raises ValueError if the address is taken.
    """
    limits = service.limits
    server = grpc.aio.server(
        interceptors=[
            *([] if access is None else [CheckToken(access)]),
            _Queue(limits),
        ],
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    calls = _Calls(service)
    server.add_generic_rpc_handlers(
        [
            _handler(
                service,
                PREDICTION,
                Predict=(calls.predict, predict_pb2.PredictRequest),
                GetModelMetadata=(
                    calls.metadata,
                    get_model_metadata_pb2.GetModelMetadataRequest,
                ),
            ),
            _handler(
                service,
                MODEL,
                GetModelStatus=(
                    calls.status,
                    get_model_status_pb2.GetModelStatusRequest,
                ),
            ),
            health_handler(service, (PREDICTION, MODEL)),
        ]
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise UserError(f"Cannot listen at {address}: {error}") from None
    await server.start()
    return server, port


class _Queue(grpc.aio.ServerInterceptor):
    """Refuses calls past a number before their messages are read, but for health."""

    def __init__(self, limits):
        self._limits = limits
        self._num_calls = 0

    async def intercept_service(self, continuation, details):
        handler = await continuation(details)
        if handler is None or not details.method.startswith("/tensorflow.serving."):
            return handler
        if self._num_calls >= self._limits.queue:
            # Of a stream nothing is read that nobody asks for.
            return grpc.stream_stream_rpc_method_handler(self._turn_away)
        return grpc.unary_unary_rpc_method_handler(self._counted(handler.unary_unary))

    def _counted(self, method):
        async def answer(data, context):
            self._num_calls += 1
            try:
                return await method(data, context)
            finally:
                self._num_calls -= 1

        return answer

    async def _turn_away(self, messages, context):
        await context.abort(
            grpc.StatusCode.UNAVAILABLE,
            f"{self._limits.queue} requests are being answered. Try again.",
        )


class _Calls:
    """What is answered: messages in, messages out, or a RequestError."""

    def __init__(self, service):
        self._service = service

    async def predict(self, request):
        service = self._service
        servable = service.models.get(*_name_and_version(request))
        signature = request.model_spec.signature_name or "serving_default"
        wanted = list(request.output_filter)
        _check_filter(wanted, servable.output_names(signature))
        specs = servable.input_specs(signature)
        num_bytes = tensor_protos.price(request.inputs, specs, service.limits)
        inputs = await service.compute(num_bytes, _to_arrays, request.inputs)
        outputs = await service.predict(servable, signature, inputs, wanted)
        response = predict_pb2.PredictResponse(
            model_spec=protos.model_spec(servable, signature)
        )
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    async def metadata(self, request):
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

    async def status(self, request):
        models = self._service.models
        return protos.status_response(models, *_name_and_version(request))


def _handler(service, name, **calls):
    """The handler of a gRPC service: {method: (function of a message, its class)}.

    Messages stay bytes until they are priced, so none are read by gRPC itself.
    """

    def make(method, call, kind):
        async def answer(data, context):
            return await _answer(service, method, call, kind, data, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    return grpc.method_handlers_generic_handler(
        name, {method: make(method, *pair) for method, pair in calls.items()}
    )


async def _answer(service, method, call, kind, data, context):
    """Bytes of what `call` returns for a message; its RequestError as a gRPC status."""
    start = time.monotonic()
    status = "CANCELLED"
    limit = service.limits.seconds
    left = context.time_remaining()  # None: the client sets no deadline.
    try:
        async with asyncio.timeout(limit if left is None else min(left, limit)):
            message = await service.compute(len(data), read_message, kind, data)
            response = (await call(message)).SerializeToString()
        status = "OK"
        return response
    except TimeoutError:
        status = "DEADLINE_EXCEEDED"
        message = f"The request took longer than {limit:g} seconds."
        _refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, message)
    except RequestError as error:
        code = CODES[error.status]
        status = code.name
        _refuse(context, code, error.message)
    except Exception as error:  # Every call gets an answer; the log has it.
        status = "INTERNAL"
        traceback.print_exception(error)
        message = "Internal error; see the server's log."
        _refuse(context, grpc.StatusCode.INTERNAL, message)
    finally:
        service.metrics.count(f"grpc {method}", status, time.monotonic() - start)


def _refuse(context, code, message):
    # `abort` raises what holds the frames, and they the message, as long as Python does
    # not look for cycles: some such messages would fill the memory.
    context.set_code(code)
    context.set_details(message)


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


def _to_arrays(inputs):
    return {name: tensor_protos.to_array(name, proto) for name, proto in inputs.items()}
