"""The standard gRPC health service, as Kubernetes and load balancers ask it."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from npid_tf.server.grpc.wire_price import read_message
from npid_tf.server.limits import RequestError

NAME = "grpc.health.v1.Health"
POLL_SECONDS = 0.5
_STATUS = health_pb2.HealthCheckResponse.ServingStatus


def health_handler(service, known):
    """The handler of Check and Watch.

    The server as a whole, "", serves when it is ready, as /readyz says: searches are
    answered. Each of the gRPC services `known` serves as long as there is an encoder.
    """

    def status_of(name):
        try:
            if name == "":
                service.check_ready()
            elif name in known and not service.is_ending:
                service.models.get("encoder")
            elif name not in known:
                return _STATUS.SERVICE_UNKNOWN
            else:
                return _STATUS.NOT_SERVING
        except RequestError:
            return _STATUS.NOT_SERVING
        return _STATUS.SERVING

    async def read(data, context):
        try:
            return read_message(health_pb2.HealthCheckRequest, data).service
        except RequestError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)

    async def check(data, context):
        status = status_of(await read(data, context))
        if status == _STATUS.SERVICE_UNKNOWN:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"Unknown service. Known: {', '.join(known)}, and an empty name.",
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def watch(data, context):
        name, before = await read(data, context), None
        while True:
            status = status_of(name)
            if status != before:
                yield health_pb2.HealthCheckResponse(status=status)
            if service.is_ending:
                return  # Otherwise the server would wait for its watchers.
            before = status
            await asyncio.sleep(POLL_SECONDS)

    write = health_pb2.HealthCheckResponse.SerializeToString
    return grpc.method_handlers_generic_handler(
        NAME,
        {
            "Check": grpc.unary_unary_rpc_method_handler(check, None, write),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, None, write),
        },
    )
