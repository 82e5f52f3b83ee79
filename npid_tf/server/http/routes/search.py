"""Searching by image over HTTP, in JSON or as a form."""

import asyncio
import math
from typing import Annotated

import fastapi
from pydantic import PlainValidator, WithJsonSchema
from starlette.datastructures import ImmutableMultiDict
from starlette.formparsers import MultiPartException, MultiPartParser

from npid_tf.server.http.addresses import check_known, read_parameters
from npid_tf.server.http.json_document import parse_object
from npid_tf.server.http.middleware import json_response
from npid_tf.server.http.requests import (
    Answer,
    AnyId,
    Image,
    Request,
    described,
    read,
)
from npid_tf.server.http.routes.items import Item, with_address
from npid_tf.server.limits import RequestError, abridged

DEFAULT_K = 10
FORM_FIELDS = ("id", "k", "threshold")
FORM_PIECE = 1 << 16


def _check_k(value, info):
    info.context.check_k(value)
    return value


def _check_threshold(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        value = math.nan
    if not -1.01 <= value <= 1.01:
        raise RequestError(400, "`threshold` must be a similarity in [-1, 1].")
    return value


class Search(Request):
    """Of what the neighbors are wanted: image files, then ids of items; which ones: the
    k most similar, if they have at least that similarity."""

    images: list[Image] = []
    ids: list[AnyId] = []
    k: Annotated[
        int,
        PlainValidator(_check_k),
        WithJsonSchema({"type": "integer", "minimum": 1, "default": DEFAULT_K}),
    ] = DEFAULT_K
    threshold: Annotated[
        float,
        PlainValidator(_check_threshold),
        WithJsonSchema({"type": "number", "minimum": -1, "maximum": 1, "default": -1}),
    ] = -1.0


class Neighbor(Item):
    """An item, and its similarity to what was searched for: a dot product."""

    similarity: float


class Found(Answer):
    """Neighbors, the most similar first, of each image, then of each id.

    engine: scann, exact or milvus. exact: whether every item was compared.
    """

    results: list[list[Neighbor]]
    engine: str
    exact: bool
    encoder_version: int


def search_api(service):
    """The route /v1/search, answered by a Service."""
    router = fastapi.APIRouter()

    @router.post("/v1/search", response_model=Found, openapi_extra=described(Search))
    async def search(request: fastapi.Request):
        """Finds the items most similar to images or to other items.

        A form (multipart/form-data) is taken too: any number of files and of fields
        `id`, and at most one `k` and one `threshold`.
        """
        read_parameters(request, ())
        wanted = await _read_search(request, service)
        answer = await service.search(
            wanted.images, wanted.ids, wanted.k, wanted.threshold
        )
        return await service.in_thread(_answer, answer)

    return router


def _answer(answer):
    """The response, in which items have their thumbnails' addresses."""
    results = [list(map(with_address, found)) for found in answer["results"]]
    return json_response({**answer, "results": results})


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 62  # No temporary files: the body is bounded already.

    def on_part_end(self):
        part = self._current_part
        if part.file is None:
            part.data.decode()  # It would decode invalid UTF-8 to another text.
        super().on_part_end()


async def _read_search(request, service):
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind != "multipart/form-data":
        return await service.compute(len(body), _read_document, body, service.limits)
    return await service.in_thread(_read_form, request.headers, body, service.limits)


def _read_document(body, limits):
    return read(Search, parse_object(body), limits)


def _read_form(headers, body, limits):
    files, fields = _parse_form(headers, body, limits)
    check_known(fields, FORM_FIELDS, "fields")
    values = {"images": files, "ids": fields.getlist("id")}
    for name, kind in (("k", int), ("threshold", float)):
        if len(fields.getlist(name)) > 1:
            raise RequestError(400, f"Duplicate field `{name}`.")
        if name in fields:
            values[name] = _number(kind, name, fields[name])
    return read(Search, values, limits)


def _parse_form(headers, body, limits):
    """(bytes of each file, whatever its name; all other fields) of a multipart body."""

    async def stream():
        for start in range(0, len(body), FORM_PIECE):
            yield body[start : start + FORM_PIECE]
        yield b""

    async def parse():
        parser = _InMemoryParser(
            headers,
            stream(),
            max_files=limits.images,
            max_fields=limits.images + 2,
            max_part_size=1 << 16,
        )
        files, fields = [], []
        for name, value in (await parser.parse()).multi_items():
            if isinstance(value, str):
                fields.append((name, value))
            else:
                files.append(await value.read())
        return files, ImmutableMultiDict(fields)

    try:
        # A loop of this thread's own: nothing in it waits, for all of it is in memory.
        return asyncio.run(parse())
    except (MultiPartException, KeyError, ValueError) as error:
        raise RequestError(400, f"The form does not parse: {error}") from None


def _number(kind, name, text):
    try:
        return kind(text)
    except ValueError:
        raise RequestError(
            400, f"`{name}` must be a number. Received: {abridged(text)}."
        ) from None
