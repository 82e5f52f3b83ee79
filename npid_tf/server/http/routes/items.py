"""Changing what is searched, and looking at it, over HTTP."""

from typing import ClassVar

import fastapi
import pydantic
from starlette.responses import Response

from npid_tf.data.shrink import kind_of_small_file
from npid_tf.server.http.addresses import (
    decode_path,
    read_parameters,
    thumbnail_address,
)
from npid_tf.server.http.json_document import parse_object
from npid_tf.server.http.middleware import json_response
from npid_tf.server.http.requests import (
    Answer,
    AnyId,
    Image,
    Label,
    NewId,
    Request,
    described,
    read,
    whole_number,
)
from npid_tf.server.limits import RequestError, abridged

MAX_PAGE = 1000
ID_IN_PATH = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}


class NewItem(Request):
    """An image to put into the index."""

    keys: ClassVar[str] = "keys of an item"
    id: NewId
    image: Image
    label: Label = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _check_it_is_one(cls, item):
        if not isinstance(item, dict) or not {"id", "image"} <= item.keys():
            raise RequestError(
                400, f"An item needs `id` and `image`. Received: {abridged(item)}."
            )
        return item


class NewItems(Request):
    """Images to put into the index, in place of those with the same ids."""

    items: list[NewItem]

    @pydantic.field_validator("items", mode="before")
    @classmethod
    def _check_number(cls, items, info):
        if isinstance(items, list):
            info.context.check_num_images(len(items))
        return items


class Page(Request):
    """Which items are listed."""

    keys: ClassVar[str] = "parameters"
    offset: whole_number(0, 2**62) = 0
    limit: whole_number(1, MAX_PAGE) = 100


class OneItem(Request):
    """Which item is meant."""

    keys: ClassVar[str] = "parameters"
    id: AnyId


class Item(Answer):
    """An item of the index; thumbnail: where its image is shown, or null."""

    id: str
    label: str | None
    thumbnail: str | None


class Items(Answer):
    """Some of the items, and how many there are."""

    total: int
    items: list[Item]


class Upserted(Answer):
    """How many items were put into the index."""

    upserted: int


class Deleted(Answer):
    """How many items were taken out."""

    deleted: int


def items_api(service):
    """The routes /v1/items and /v1/thumbnail, answered by a Service."""
    router = fastapi.APIRouter()

    @router.post(
        "/v1/items", response_model=Upserted, openapi_extra=described(NewItems)
    )
    async def upsert(request: fastapi.Request):
        """Puts images into the index; on disk, and searched, when it answers."""
        read_parameters(request, ())
        service.check_may_change()
        body = await request.body()
        items = await service.compute(len(body), _read_items, body, service.limits)
        await service.upsert(
            [item.id for item in items],
            [item.image for item in items],
            [item.label for item in items],
        )
        return json_response({"upserted": len(items)})

    @router.get(
        "/v1/items", response_model=Items, openapi_extra=described(parameters=Page)
    )
    async def page(request: fastapi.Request):
        """Lists the items, in the order in which they came."""
        wanted = read(Page, read_parameters(request, Page.model_fields))
        collection = service.collection()
        items, total = await service.in_thread(
            collection.page, wanted.offset, wanted.limit
        )
        return json_response({"total": total, "items": list(map(with_address, items))})

    @router.delete(
        "/v1/items", response_model=Deleted, openapi_extra=described(parameters=OneItem)
    )
    async def delete(request: fastapi.Request):
        """Takes an item out of the index."""
        parameters = read_parameters(request, OneItem.model_fields)
        if not parameters:
            raise RequestError(400, "Of which item? Send DELETE /v1/items?id=ID.")
        return await _delete(read(OneItem, parameters).id)

    @router.delete(
        "/v1/items/{name:path}",
        response_model=Deleted,
        openapi_extra={"parameters": [ID_IN_PATH]},
    )
    async def delete_by_path(request: fastapi.Request):
        """Takes an item out of the index, whose id is the rest of the path."""
        read_parameters(request, ())
        return await _delete(decode_path(request.scope).removeprefix("/v1/items/"))

    async def _delete(name):
        await service.delete(name)
        return json_response({"deleted": 1})

    @router.get(
        "/v1/thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}},
        openapi_extra=described(parameters=OneItem),
    )
    async def thumbnail(request: fastapi.Request):
        """A small picture of an item, PNG or JPEG."""
        parameters = read_parameters(request, OneItem.model_fields)
        image = await service.thumbnail(parameters.get("id", ""))
        headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
        return Response(image, 200, headers, f"image/{kind_of_small_file(image)}")

    return router


def with_address(item):
    """An item as it is answered: with the address of its thumbnail, or None."""
    item = dict(item)
    has_thumbnail = item.pop("has_thumbnail")
    address = thumbnail_address(item["id"]) if has_thumbnail else None
    return {**item, "thumbnail": address}


def _read_items(body, limits):
    """The items of a request that upserts."""
    document = parse_object(body)
    if isinstance(document.get("items"), list):
        return read(NewItems, document, limits).items
    raise RequestError(
        400,
        'Expected {"items": [{"id": ..., "image": {"b64": ...}, "label": ...}, ...]}, '
        "label being optional.",
    )
