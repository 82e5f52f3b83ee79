"""The token over gRPC."""

import grpc

from npid_tf.server.limits import RequestError

HEALTH = "/grpc.health.v1.Health/"


class CheckToken(grpc.aio.ServerInterceptor):
    """Refuses calls without the token of an Access, but those for the health."""

    def __init__(self, access):
        self._access = access

    async def intercept_service(self, continuation, handler_call_details):
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(HEALTH):
            return handler
        metadata = dict(handler_call_details.invocation_metadata)
        try:
            self._access.check_token(metadata.get("authorization"))
        except RequestError as error:
            return _refusal(error.message)
        return handler


def _refusal(message):
    async def refuse(messages, context):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, message)

    # Of a stream nothing is read that nobody asks for: who may not ask makes no work.
    return grpc.stream_stream_rpc_method_handler(refuse)
