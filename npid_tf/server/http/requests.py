"""What the product's own requests and answers hold: pydantic models, shown at /docs.

A route reads a request by `read` and describes it to OpenAPI by `described`. Bodies are
parsed by `json_document`, at a bounded price, and not by FastAPI.
"""

from typing import Annotated, Any, ClassVar

import pydantic
from pydantic import BeforeValidator, PlainValidator, WithJsonSchema

from npid_tf.server.http.addresses import check_known
from npid_tf.server.http.json_tensors import decode_base64
from npid_tf.server.limits import RequestError, abridged

BASE64 = {"type": "string", "contentEncoding": "base64"}
B64 = {"type": "object", "properties": {"b64": BASE64}, "required": ["b64"]}


class Request(pydantic.BaseModel):
    """A body or a query of which every key is known."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    keys: ClassVar[str] = "keys"  # What they are called in an error.

    @pydantic.model_validator(mode="before")
    @classmethod
    def _check_keys(cls, values):
        check_known(values, cls.model_fields, cls.keys)
        return values


class Answer(pydantic.BaseModel):
    """What a route answers; a test holds the answers to these."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class Error(Answer):
    """Why a request was refused; the status says whose fault it is."""

    error: str


def read(model, values, limits=None):
    """A `Request` of a dict's values. Raises RequestError for what does not fit it.

    limits: Limits, if the model has to know them.
    """
    try:
        return model.model_validate(values, context=limits)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = first["msg"].replace("Input should be", "must be").replace(" valid", "")
        what = what.replace("Field", "is")
        name = ".".join(map(str, first["loc"]))
        raise RequestError(
            400, f"`{name}` {what}. Received: {abridged(first['input'])}."
        ) from None


def described(body=None, parameters=None):
    """A route's entry in OpenAPI: the models of its body and of its query."""
    document = {}
    if body is not None:
        content = {"application/json": {"schema": _schema(body)}}
        document["requestBody"] = {"content": content, "required": True}
    if parameters is not None:
        schema = _schema(parameters)
        document["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": value,
            }
            for name, value in schema["properties"].items()
        ]
    return document


def _schema(model):
    """The model's JSON schema, with the models within it in their places."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(value):
        if isinstance(value, list):
            return [inlined(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return inlined(definitions[value["$ref"].rpartition("/")[2]])
        return {key: inlined(item) for key, item in value.items()}

    return inlined(schema)


def _check_text(value):
    if not isinstance(value, str):
        raise RequestError(400, f"An id must be text. Received: {abridged(value)}.")
    return value


def _check_unicode(value):
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise RequestError(
            400, f"An id must be Unicode text. Received: {abridged(ascii(value))}."
        ) from None
    return value


def _read_image(value):
    """The bytes of {"b64": text}, of the text alone, or of a form's file."""
    if isinstance(value, bytes):
        return value
    return decode_base64({"b64": value} if isinstance(value, str) else value)


def whole_number(least, most):
    """The type of a whole number that may be text, as in an address."""

    def check(value, info):
        try:
            number = int(value)
        except (ValueError, TypeError):
            raise RequestError(
                400,
                f"`{info.field_name}` must be a number. Received: {abridged(value)}.",
            ) from None
        if not least <= number <= most:
            raise RequestError(
                400,
                f"`{info.field_name}` must be in [{least}, {most}]. Received: "
                f"{abridged(number)}.",
            )
        return number

    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Annotated[int, BeforeValidator(check), WithJsonSchema(schema)]


Text = {"type": "string"}
# Names of files may be no Unicode: they are searched for, but not added.
AnyId = Annotated[str, PlainValidator(_check_text), WithJsonSchema(Text)]
NewId = Annotated[str, PlainValidator(_check_unicode), WithJsonSchema(Text)]
Image = Annotated[
    bytes,
    PlainValidator(_read_image),
    WithJsonSchema({"anyOf": [BASE64, B64], "description": "JPEG, PNG, BMP or GIF"}),
]
# The index says what a label may be.
Label = Annotated[
    Any, WithJsonSchema({"anyOf": [Text, {"type": "null"}], "default": None})
]
