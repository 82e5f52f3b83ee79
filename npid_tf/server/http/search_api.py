"""Searching by image, and changing what is searched, over HTTP."""

import asyncio
import itertools
import math

import fastapi
from starlette.datastructures import ImmutableMultiDict
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from npid_tf.server.http.addresses import (
    check_known,
    decode_path,
    read_parameters,
    thumbnail_address,
)
from npid_tf.server.http.json_document import parse_object
from npid_tf.server.http.json_tensors import decode_base64
from npid_tf.server.http.middleware import json_response
from npid_tf.server.limits import RequestError, abridged

DEFAULT_K = 10
MAX_PAGE = 1000
FORM_FIELDS = ("id", "k", "threshold")
FORM_PIECE = 1 << 16


def search_api(service):
    """The routes /v1/search, /v1/items and /v1/thumbnail, answered by a Service."""
    router = fastapi.APIRouter()

    @router.post("/v1/search")
    async def search(request: fastapi.Request):
        read_parameters(request, ())
        query = await _read_query(request, service)
        answer = await service.search(*query)
        return await service.in_thread(_answer, answer, *answer["results"])

    @router.post("/v1/items")
    async def upsert(request: fastapi.Request):
        read_parameters(request, ())
        service.check_may_change()
        body = await request.body()
        items = await service.compute(len(body), _read_items, body, service.limits)
        names, files, labels = zip(*items, strict=True)
        await service.upsert(list(names), list(files), list(labels))
        return json_response({"upserted": len(names)})

    @router.delete("/v1/items")
    async def delete(request: fastapi.Request):
        parameters = read_parameters(request, ("id",))
        if "id" not in parameters:
            raise RequestError(400, "Of which item? Send DELETE /v1/items?id=ID.")
        return await _delete(parameters["id"])

    @router.delete("/v1/items/{name:path}")
    async def delete_by_path(request: fastapi.Request):
        read_parameters(request, ())
        return await _delete(decode_path(request.scope).removeprefix("/v1/items/"))

    async def _delete(name):
        await service.delete(name)
        return json_response({"deleted": 1})

    @router.get("/v1/items")
    async def page(request: fastapi.Request):
        parameters = read_parameters(request, ("offset", "limit"))
        offset = _integer(parameters, "offset", 0, 0, 2**62)
        limit = _integer(parameters, "limit", 100, 1, MAX_PAGE)
        collection = service.collection()
        items, total = await service.in_thread(collection.page, offset, limit)
        return _answer({"total": total, "items": items}, items)

    @router.get("/v1/thumbnail")
    async def thumbnail(request: fastapi.Request):
        parameters = read_parameters(request, ("id",))
        image = await service.thumbnail(parameters.get("id", ""))
        headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
        return Response(image, 200, headers, "image/png")

    return router


def _answer(document, *lists):
    """The response of a JSON value, whose items get their thumbnails' addresses."""
    for item in itertools.chain(*lists):
        _add_address(item)
    return json_response(document)


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 62  # No temporary files: the body is bounded already.

    def on_part_end(self):
        part = self._current_part
        if part.file is None:
            part.data.decode()  # It would take what is no UTF-8 for another text.
        super().on_part_end()


async def _read_query(request, service):
    """(files, ids, k, threshold) of a search request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        body = await request.body()
        files, fields = await service.in_thread(
            _read_form, request.headers, body, service.limits
        )
        check_known(fields, FORM_FIELDS, "fields")
        for name in ("k", "threshold"):
            if len(fields.getlist(name)) > 1:
                raise RequestError(400, f"`{name}` comes twice.")
        names = fields.getlist("id")
        k = _number(int, "k", fields.get("k", DEFAULT_K))
        threshold = _number(float, "threshold", fields.get("threshold", -1.0))
    else:
        body = await request.body()
        files, names, k, threshold = await service.compute(
            len(body), _read_document, body
        )
    for name in names:
        if not isinstance(name, str):
            raise RequestError(400, f"An id must be text. Received: {abridged(name)}.")
    service.limits.check_k(k)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        threshold = math.nan
    if not -1.01 <= threshold <= 1.01:
        raise RequestError(400, "`threshold` must be a similarity in [-1, 1].")
    return files, names, k, threshold


def _read_document(body):
    """(files, ids, k, threshold) of a search request in JSON."""
    document = parse_object(body)
    check_known(document, ("images", "ids", "k", "threshold"), "keys")
    files = [_read_image(item) for item in _list(document, "images")]
    names = _list(document, "ids")
    return (
        files,
        names,
        document.get("k", DEFAULT_K),
        document.get("threshold", -1.0),
    )


def _read_form(headers, body, limits):
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
    except (ValueError, TypeError):
        raise RequestError(
            400, f"`{name}` must be a number. Received: {abridged(text)}."
        ) from None


def _integer(parameters, name, default, least, most):
    value = _number(int, name, parameters.get(name, default))
    if not least <= value <= most:
        raise RequestError(
            400, f"`{name}` must be in [{least}, {most}]. Received: {abridged(value)}."
        )
    return value


def _list(document, name):
    value = document.get(name, [])
    if not isinstance(value, list):
        raise RequestError(
            400, f"`{name}` must be a list. Received: {abridged(value)}."
        )
    return value


def _read_items(body, limits):
    """[(id, file, label)] of a request that upserts."""
    document = parse_object(body)
    check_known(document, ("items",), "keys")
    items = document.get("items")
    if not isinstance(items, list):
        raise RequestError(
            400,
            'Expected {"items": [{"id": ..., "image": {"b64": ...}, "label": ...}, '
            "...]}, label being optional.",
        )
    limits.check_num_images(len(items))
    return [_read_item(item) for item in items]


def _read_item(item):
    """(id, file, label) of an item to upsert."""
    if not isinstance(item, dict) or not {"id", "image"} <= item.keys():
        raise RequestError(
            400, f"An item needs `id` and `image`. Received: {abridged(item)}."
        )
    check_known(item, ("id", "image", "label"), "keys of an item")
    name = item["id"]
    try:
        name.encode()
    except (AttributeError, UnicodeEncodeError):
        raise RequestError(
            400, f"An id must be Unicode text. Received: {abridged(ascii(name))}."
        ) from None
    return name, _read_image(item["image"]), item.get("label")


def _read_image(value):
    """The bytes of {"b64": text}, or of the text alone."""
    return decode_base64({"b64": value} if isinstance(value, str) else value)


def _add_address(item):
    """Puts the address of its thumbnail, or None, for whether it has one."""
    has_thumbnail = item.pop("has_thumbnail")
    item["thumbnail"] = thumbnail_address(item["id"]) if has_thumbnail else None
