"""Search and changes over HTTP."""

import uuid

import numpy as np
import pytest

from tests.support.requests import b64


def form(*parts):
    """(body, headers) of a multipart form: (name, value) and (name, bytes)."""
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in parts:
        file = '; filename="x"' if isinstance(value, bytes) else ""
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        )
        body += f"{file}\r\n\r\n".encode()
        body += (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_json_and_forms_find_the_same(server, digit):
    body = {"images": [b64(digit(3)), b64(digit(7))["b64"]], "ids": ["5"], "k": 4}
    status, answer = server.ask("POST", "/v1/search", body)
    assert status == 200
    assert (answer["engine"], answer["exact"]) == ("scann", True)
    assert answer["encoder_version"] == 1
    assert [len(found) for found in answer["results"]] == [4, 4, 4]
    for found, name in zip(answer["results"], ["3", "7", "5"], strict=True):
        assert found[0]["id"] == name
        assert found[0]["similarity"] == pytest.approx(1, abs=1e-5)
        assert found[0]["label"] == name
        assert found[0]["thumbnail"] == f"/v1/thumbnail?id={name}"
    files = [("image", digit(3)), ("image", digit(7)), ("id", "5"), ("k", "4")]
    status, from_form = server.ask("POST", "/v1/search", *form(*files))
    assert status == 200
    for found, expected in zip(from_form["results"], answer["results"], strict=True):
        assert [item["id"] for item in found] == [item["id"] for item in expected]


def test_the_neighbors_are_those_of_the_neighbors_model(server, digit):
    body = {"instances": [{"image_bytes": b64(digit(9))}]}
    path = "/v1/models/neighbors:predict"
    (expected,) = server.ask("POST", path, body)[1]["predictions"]
    body = {"images": [b64(digit(9))], "k": 5}
    ((*found,),) = server.ask("POST", "/v1/search", body)[1]["results"]
    assert [int(item["id"]) for item in found] == expected["ids"]
    np.testing.assert_allclose(
        [item["similarity"] for item in found], expected["similarities"], atol=1e-5
    )


def test_the_threshold_keeps_what_is_similar(server):
    body = {"ids": ["5"], "k": 50, "threshold": 0.999}
    ((*found,),) = server.ask("POST", "/v1/search", body)[1]["results"]
    assert 1 <= len(found) < 50
    assert all(item["similarity"] >= 0.999 for item in found)


def test_items_come_and_go_and_every_search_sees_it(server, noise):
    name = "../a b/ä?#%2F"
    item = {"id": name, "image": b64(noise), "label": "new"}
    answer = server.ask("POST", "/v1/items", {"items": [item]})
    assert answer == (200, {"upserted": 1})
    query = {"images": [b64(noise)], "k": 1}
    ((found,),) = server.ask("POST", "/v1/search", query)[1]["results"]
    assert (found["id"], found["label"]) == (name, "new")
    assert server.ask("GET", found["thumbnail"]) == (200, noise)
    assert server.ask("GET", "/v1/items")[1]["total"] == 257
    path = "/v1/items/..%2Fa%20b%2F%C3%A4%3F%23%252F"
    assert server.ask("DELETE", path) == (200, {"deleted": 1})
    assert server.ask("DELETE", path)[0] == 404
    ((found,),) = server.ask("POST", "/v1/search", query)[1]["results"]
    assert found["id"] != name


def test_the_training_set_comes_in_pages(server):
    status, answer = server.ask("GET", "/v1/items?offset=3&limit=2")
    assert (status, answer["total"]) == (200, 256)
    assert answer["items"][0] == {
        "id": "3",
        "label": "3",
        "thumbnail": "/v1/thumbnail?id=3",
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "search", {}, 400, "must hold 1 to 64 images"),
        ("POST", "search", {"ids": ["1"] * 65}, 413, "must hold 1 to 64 images"),
        ("POST", "search", {"ids": ["no"]}, 404, "No item has the id 'no'"),
        ("POST", "search", {"ids": [1]}, 400, "An id must be text. Received: 1"),
        ("POST", "search", {"ids": "1"}, 400, "`ids` must be a list"),
        ("POST", "search", {"images": [5]}, 400, "not formatted correctly for base64"),
        ("POST", "search", {"images": ["Zm9v"]}, 400, "does not decode"),
        ("POST", "search", {"ids": ["1"], "k": 0}, 400, "`k` must be a whole number"),
        ("POST", "search", {"ids": ["1"], "k": 1001}, 400, "[1, 1000]"),
        ("POST", "search", {"ids": ["1"], "threshold": "x"}, 400, "`threshold` must"),
        ("POST", "search", {"ids": ["1"], "threshold": 5}, 400, "`threshold` must"),
        ("POST", "items", {"items": [1]}, 400, "needs `id` and `image`"),
        ("POST", "items", {"items": {}}, 400, "Expected"),
        ("POST", "items", {"items": []}, 400, "must hold 1 to 64"),
        ("POST", "items", {"items": [{"id": "\ud800", "image": ""}]}, 400, "Unicode"),
        ("POST", "items", {"items": [{"id": 5, "image": ""}]}, 400, "Unicode text"),
        ("DELETE", "items/no", None, 404, "No item has the id 'no'"),
        ("DELETE", "items/../../etc/passwd", None, 404, "No item has the id"),
        ("GET", "items?limit=0", None, 400, "`limit` must be in [1, 1000]"),
        ("GET", "items?offset=x", None, 400, "`offset` must be a number"),
        ("GET", "thumbnail?id=../../7", None, 404, "No item has the id '../../7'"),
        ("GET", "thumbnail", None, 404, "No item has the id ''"),
        ("PUT", "items", None, 405, "Not allowed: PUT /v1/items"),
    ],
)
def test_errors_have_a_status_and_a_reason(server, method, path, body, status, message):
    answer = server.ask(method, f"/v1/{path}", body)
    assert answer[0] == status
    assert message in answer[1]["error"]


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"x", {"Content-Type": "multipart/form-data"}, "Missing boundary"),
        (b"x", {"Content-Type": "multipart/form-data; boundary=b"}, "does not parse"),
        (*form(("id", "5"), ("k", "x")), "`k` must be a number"),
        (*form(*[("image", b"x")] * 65), "Too many files"),
        (*form(("id", "5"), ("threshold", "nan")), "`threshold` must be"),
    ],
)
def test_forms_that_do_not_parse_are_refused(server, body, headers, message):
    status, answer = server.ask("POST", "/v1/search", body, headers)
    assert status == 400
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "unknown", "known"),
    [
        ("POST", "search", {"ids": ["1"], "top_k": 3}, "keys: top_k", "threshold"),
        ("POST", "search", {"ids": ["1"], "filter": "x"}, "filter", "images, ids, k"),
        ("POST", "search?k=3", {"ids": ["1"]}, "parameters: k", "none"),
        ("POST", "items", {"items": [], "labels": []}, "keys: labels", "items"),
        ("POST", "items?label=a", {"items": []}, "label", "none"),
        ("POST", "items", {"items": [{"id": "a", "image": "", "lable": "b"}]}, "lable",
         "id, image, label"),
        ("GET", "items?page=2", None, "page", "offset, limit"),
        ("GET", "items?limit=2&limit=3", None, "Duplicate", ""),
        ("GET", "thumbnail?id=7&size=2", None, "size", "id"),
        ("DELETE", "items?id=no&label=a", None, "label", "id"),
        ("DELETE", "items/no?id=no", None, "id", "none"),
        ("DELETE", "items?id=no&id=7", None, "Duplicate", ""),
        ("DELETE", "items", None, "Of which item?", "?id=ID"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_not_passed_over(
    server, method, path, body, unknown, known
):
    status, answer = server.ask(method, f"/v1/{path}", body)
    assert status == 400
    assert unknown in answer["error"]
    assert known in answer["error"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (("top_k", "3"), "Unknown fields: top_k. Known: id, k, threshold"),
        (("image", "photo.jpg"), "Unknown fields: image"),  # A name, and no file.
        (("k", "4"), "`k`"),
    ],
)
def test_fields_that_are_not_known_are_refused(server, part, message):
    body = form(("id", "5"), ("k", "3"), part)
    status, answer = server.ask("POST", "/v1/search", *body)
    assert status == 400
    assert message in answer["error"]


def test_tensorflow_servings_routes_pass_over_other_keys_as_it_does(server, digit):
    body = {"instances": [{"image_bytes": b64(digit(1))}], "other": 1}
    assert server.ask("POST", "/v1/models/neighbors:predict", body)[0] == 200


def test_base64_comes_in_any_of_its_forms(server, digit):
    plain = b64(digit(3))["b64"]
    broken = "\r\n".join(plain[at : at + 76] for at in range(0, len(plain), 76))
    url_safe = plain.replace("+", "-").replace("/", "_")
    for text in (plain, broken, plain.rstrip("="), url_safe.rstrip("="), f"\n{plain} "):
        body = {"images": [{"b64": text}], "k": 1}
        status, answer = server.ask("POST", "/v1/search", body)
        assert status == 200
        assert answer["results"][0][0]["id"] == "3"
    for text in (plain + "=", "=", "A", "AB=", "A===", "é", "AB\0C", plain + "*"):
        status, answer = server.ask("POST", "/v1/search", {"images": [text]})
        assert (status, answer) == (400, {"error": "Unable to base64 decode"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/search", 405),
        ("GET", "/v1/search/", 404),
        ("POST", "/v1/items/", 405),
        ("PATCH", "/v1/items", 405),
        ("OPTIONS", "/v1/items", 405),
        ("OPTIONS", "*", 404),
        ("POST", "/", 405),
        ("GET", "/v2/search", 404),
        ("POST", "/v1/thumbnail?id=7", 405),
    ],
)
def test_requests_for_nothing_get_a_reason(server, method, path, status):
    answer = server.ask(method, path)
    assert answer[0] == status
    assert answer[1]["error"].startswith(("Not found: ", "Not allowed: "))
