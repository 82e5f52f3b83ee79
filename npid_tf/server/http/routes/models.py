"""TensorFlow Serving's REST API: status, metadata and predict of the models.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import re

import fastapi
from google.protobuf import json_format

from npid_tf.server.grpc import protos
from npid_tf.server.http.json_document import parse_object
from npid_tf.server.http.json_tensors import (
    read_inputs,
    read_signature_name,
    write_outputs,
)
from npid_tf.server.http.middleware import json_response
from npid_tf.server.limits import RequestError, abridged


def models_api(service):
    """The routes below /v1/models, answered by a Service."""
    router = fastapi.APIRouter()

    @router.post("/v1/models/{name}:predict")
    @router.post("/v1/models/{name}/versions/{version}:predict")
    async def predict(request: fastapi.Request):
        servable = service.models.get(*_name_and_version(request))
        body = await request.body()
        signature, inputs, in_rows = await service.compute(
            len(body), _parse, servable, body
        )
        outputs = await service.predict(servable, signature, inputs)
        num_bytes = sum(array.nbytes for array in outputs.values())
        return await service.compute(num_bytes, _answer, outputs, in_rows)

    @router.get("/v1/models/{name}")
    @router.get("/v1/models/{name}/versions/{version}")
    async def status(request: fastapi.Request):
        response = protos.status_response(service.models, *_name_and_version(request))
        return json_response(_to_dict(response))

    @router.get("/v1/models/{name}/metadata")
    @router.get("/v1/models/{name}/versions/{version}/metadata")
    async def metadata(request: fastapi.Request):
        servable = service.models.get(*_name_and_version(request))
        signatures = _to_dict(protos.signature_def_map(servable))
        return json_response(
            {
                "model_spec": _to_dict(protos.model_spec(servable)),
                "metadata": {"signature_def": signatures},
            }
        )

    return router


def _name_and_version(request):
    """(name, version or None) in a request's path."""
    name, version = request.path_params["name"], request.path_params.get("version")
    if ":" in name + (version or ""):
        raise RequestError(
            400, f"Malformed request: {request.method} {abridged(request.url.path)}"
        )
    if version is None:
        return name, None
    if not re.fullmatch("[0-9]{1,18}", version):
        raise RequestError(
            400, f"Failed to convert version: {abridged(version)} to numeric."
        )
    return name, int(version)


def _parse(servable, body):
    document = parse_object(body)
    signature_name = read_signature_name(document)
    specs = servable.input_specs(signature_name)
    dtypes = {name: spec.dtype for name, spec in specs.items()}
    return signature_name, *read_inputs(document, dtypes)


def _answer(outputs, in_rows):
    return json_response(write_outputs(outputs, in_rows))


def _to_dict(message):
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
