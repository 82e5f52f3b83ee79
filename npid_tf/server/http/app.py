"""The ASGI application: all that the server answers over HTTP."""

import fastapi
from starlette.exceptions import HTTPException

from npid_tf.files.version import __version__
from npid_tf.server.http.middleware import Guard, error_response
from npid_tf.server.http.requests import Error
from npid_tf.server.http.routes import ROUTES, UNDOCUMENTED
from npid_tf.server.http.routes.docs import docs
from npid_tf.server.limits import RequestError, abridged

ABOUT = (
    "Finds the images most similar to others, and changes which images are searched. "
    "The exported models are served below /v1/models as TensorFlow Serving does: "
    "https://www.tensorflow.org/tfx/serving/api_rest"
)


def build_app(service, local_only=True, access=None):
    """The application that answers from a Service. local_only, access: see Guard."""
    app = fastapi.FastAPI(
        title="Neighbors",
        description=ABOUT,
        version=__version__,
        servers=[{"url": access.root_path if access and access.root_path else "/"}],
        responses={"4XX": {"model": Error}, "5XX": {"model": Error}},
        openapi_url=None,  # Else FastAPI adds pages that load scripts from elsewhere.
        redirect_slashes=False,
    )
    app.add_middleware(
        Guard,
        limits=service.limits,
        metrics=service.metrics,
        local_only=local_only,
        access=access,
    )
    app.add_exception_handler(HTTPException, _explain)
    for routes in ROUTES:
        app.include_router(routes(service))
    for routes in UNDOCUMENTED:
        app.include_router(routes(service), include_in_schema=False)
    app.include_router(docs(app.openapi), include_in_schema=False)
    return app


async def _explain(request, error):
    """No route, or another method: in TensorFlow Serving's words."""
    what = f"{request.method} {abridged(request.url.path)}"
    if request.url.path.startswith("/v1/models"):
        return error_response(RequestError(400, f"Malformed request: {what}"))
    reasons = {404: f"Not found: {what}", 405: f"Not allowed: {what}"}
    message = reasons.get(error.status_code, f"{error.detail}: {what}")
    response = error_response(RequestError(error.status_code, message))
    response.headers.update(error.headers or {})  # Of 405: what is allowed.
    return response
