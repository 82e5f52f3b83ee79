"""TensorFlow Serving's messages about the models, for REST and gRPC alike."""

from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
)


def model_spec(servable, signature_name=""):
    """The ModelSpec of the version that answered."""
    spec = model_pb2.ModelSpec(name=servable.name, signature_name=signature_name)
    spec.version.value = servable.version
    return spec


def signature_def_map(servable):
    """The SignatureDefMap of a model."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signature_defs.items():
        signatures.signature_def[name].CopyFrom(signature)
    return signatures


def status_response(models, name, version=None):
    """The GetModelStatusResponse of a model. Raises RequestError for an unknown one."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, status in models.status(name, version).items():
        entry = response.model_version_status.add(version=number)
        entry.state = entry.State.Value(status.state)
        if status.error:
            entry.status.error_code = error_codes_pb2.UNKNOWN
            entry.status.error_message = status.error
        else:
            entry.status.error_code = error_codes_pb2.OK
    return response
