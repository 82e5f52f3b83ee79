"""What the server can be asked: /openapi.json for programs, /docs for people.

The page is rendered here: FastAPI's own loads its scripts from elsewhere, which the
page's Content-Security-Policy forbids, and which fails without a network.
"""

import functools
import json

import fastapi
import jinja2
from starlette.responses import Response

from npid_tf.server.http.middleware import json_response
from npid_tf.server.http.routes.page import HEADERS

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("npid_tf.server.http", "web"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def docs(openapi):
    """The routes /openapi.json and /docs. openapi: a function, of the whole app."""
    router = fastapi.APIRouter()

    @functools.cache
    def rendered():
        template = _TEMPLATES.get_template("docs.html.j2")
        return template.render(**_flat(openapi())).encode()

    @router.get("/openapi.json")
    async def schema(request: fastapi.Request):
        return json_response(openapi())

    @router.get("/docs")
    async def page(request: fastapi.Request):
        return Response(rendered(), 200, HEADERS, "text/html")

    return router


def _flat(document):
    """What the template shows of an OpenAPI document: its info and its routes."""
    models = document["components"]["schemas"]
    routes = [
        {
            "name": f"{method.upper()} {path}",
            "about": operation["description"],
            "parameters": operation.get("parameters", []),
            "body": _pretty(_schema_of(operation.get("requestBody", {}), models)),
            "answer": _pretty(_schema_of(operation["responses"]["200"], models)),
        }
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return {"info": document["info"], "routes": routes}


def _schema_of(message, models):
    """The JSON schema of a request's or a response's body, with all it refers to."""
    schema = message.get("content", {}).get("application/json", {}).get("schema", {})

    def resolved(value):
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolved(models[value["$ref"].rpartition("/")[2]])
        return {key: resolved(item) for key, item in value.items()}

    return resolved(schema)


def _pretty(schema):
    return json.dumps(schema, indent=2) if schema else None
