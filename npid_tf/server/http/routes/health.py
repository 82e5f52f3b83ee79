"""The routes by which the server is watched."""

import fastapi
from starlette.responses import Response

from npid_tf.server.http.middleware import json_response


def health(service):
    """The routes by which the server is watched."""
    router = fastapi.APIRouter()

    @router.get("/healthz")
    async def live(request: fastapi.Request):
        """Whether the server runs."""
        return json_response({"status": "alive"})

    @router.get("/readyz")
    async def ready(request: fastapi.Request):
        """Whether searches are answered: 503 if not."""
        service.check_ready()
        answer = {"read_only": True} if service.read_only() else {}
        return json_response({"status": "ready", **answer})

    @router.get("/metrics")
    async def metrics(request: fastapi.Request):
        """Numbers for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router
