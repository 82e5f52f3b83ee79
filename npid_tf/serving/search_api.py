"""Searching by image, and changing what is searched, over HTTP."""

import itertools
import math
from urllib.parse import quote

import fastapi
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from npid_tf.serving.guard import json_response
from npid_tf.serving.json_tensors import decode_base64, parse_object
from npid_tf.serving.limits import RequestError, abridged

DEFAULT_K = 10
MAX_PAGE = 1000


def search_api(service):
    """The routes /v1/search, /v1/items and /v1/thumbnail, answered by a Service."""
    router = fastapi.APIRouter()

    @router.post("/v1/search")
    async def search(request: fastapi.Request):
        query = await _read_query(request, service)
        answer = await service.search(*query)
        for item in itertools.chain(*answer["results"]):
            _add_address(item)
        return json_response(answer)

    @router.post("/v1/items")
    async def upsert(request: fastapi.Request):
        document = await service.in_thread(parse_object, await request.body())
        items = document.get("items")
        if not isinstance(items, list):
            raise RequestError(
                400,
                'Expected {"items": [{"id": ..., "image": {"b64": ...}, "label": ...}, '
                "...]}, label being optional.",
            )
        service.limits.check_num_images(len(items))
        names, files, labels = zip(*map(_read_item, items), strict=True)
        await service.upsert(list(names), list(files), list(labels))
        return json_response({"upserted": len(names)})

    @router.delete("/v1/items/{name:path}")
    async def delete(request: fastapi.Request):
        await service.delete(request.path_params["name"])
        return json_response({"deleted": 1})

    @router.get("/v1/items")
    async def page(request: fastapi.Request):
        offset = _integer(request, "offset", 0, 0, 2**62)
        limit = _integer(request, "limit", 100, 1, MAX_PAGE)
        collection = service.collection()
        items, total = await service.in_thread(collection.page, offset, limit)
        for item in items:
            _add_address(item)
        return json_response({"total": total, "items": items})

    @router.get("/v1/thumbnail")
    async def thumbnail(request: fastapi.Request):
        image = await service.thumbnail(request.query_params.get("id", ""))
        headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
        return Response(image, 200, headers, "image/png")

    return router


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 62  # No temporary files: the body is bounded already.


async def _read_query(request, service):
    """(files, ids, k, threshold) of a search request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        files, fields = await _read_form(request, service.limits)
        names = fields.getlist("id")
        k = _number(int, "k", fields.get("k", DEFAULT_K))
        threshold = _number(float, "threshold", fields.get("threshold", -1.0))
    else:
        document = await service.in_thread(parse_object, await request.body())
        files = [_read_image(item) for item in _list(document, "images")]
        names = _list(document, "ids")
        k, threshold = document.get("k", DEFAULT_K), document.get("threshold", -1.0)
    for name in names:
        if not isinstance(name, str):
            raise RequestError(400, f"An id must be text. Received: {abridged(name)}.")
    service.limits.check_k(k)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        threshold = math.nan
    if not -1.01 <= threshold <= 1.01:
        raise RequestError(400, "`threshold` must be a similarity in [-1, 1].")
    return files, names, k, threshold


async def _read_form(request, limits):
    """(bytes of each file, all other fields) of a multipart body."""
    parser = _InMemoryParser(
        request.headers,
        request.stream(),
        max_files=limits.images,
        max_fields=limits.images + 2,
        max_part_size=1 << 16,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise RequestError(400, f"The form does not parse: {error}") from None
    files = []
    for _, value in form.multi_items():
        if not isinstance(value, str):
            files.append(await value.read())
    return files, form


def _number(kind, name, text):
    try:
        return kind(text)
    except (ValueError, TypeError):
        raise RequestError(
            400, f"`{name}` must be a number. Received: {abridged(text)}."
        ) from None


def _integer(request, name, default, least, most):
    value = _number(int, name, request.query_params.get(name, default))
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


def _read_item(item):
    """(id, file, label) of an item to upsert."""
    if not isinstance(item, dict) or not {"id", "image"} <= item.keys():
        raise RequestError(
            400, f"An item needs `id` and `image`. Received: {abridged(item)}."
        )
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
    address = f"/v1/thumbnail?id={quote(item['id'], safe='', errors='replace')}"
    item["thumbnail"] = address if item.pop("has_thumbnail") else None
