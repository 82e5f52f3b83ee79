"""Models refuse what does not fit them, in our words."""

import pytest

from npid_tf.server.http.requests import AnyId, Request, described, read, whole_number
from npid_tf.server.limits import RequestError


class Inner(Request):
    """Within another one."""

    ids: list[AnyId]


class Outer(Request):
    """Has another one."""

    inner: Inner
    number: whole_number(1, 9) = 5


def test_values_that_fit_are_read():
    outer = read(Outer, {"inner": {"ids": ["a", "\udcff"]}, "number": "7"})
    assert (outer.inner.ids, outer.number) == (["a", "\udcff"], 7)
    assert read(Outer, {"inner": {"ids": []}}).number == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"ids": []}, "x": 1, "y": 2}, "Unknown keys: x, y. Known: inner"),
        ({"inner": {"ids": [], "z": 1}}, "Unknown keys: z. Known: ids"),
        ({"inner": {"ids": "a"}}, "`inner.ids` must be a list. Received: a."),
        ({"inner": {"ids": [5]}}, "An id must be text. Received: 5."),
        ({"inner": {"ids": []}, "number": 10}, "`number` must be in [1, 9]"),
        ({"inner": {"ids": []}, "number": "x"}, "`number` must be a number"),
        ({}, "`inner` is required"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(values, message):
    with pytest.raises(RequestError) as caught:
        read(Outer, values)
    assert caught.value.status == 400
    assert message in caught.value.message


def test_the_description_holds_models_within_models():
    document = described(body=Outer, parameters=Inner)
    schema = document["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["inner"]["properties"]["ids"]["type"] == "array"
    assert "$ref" not in str(document) and "$defs" not in str(document)
    (parameter,) = document["parameters"]
    assert (parameter["name"], parameter["required"]) == ("ids", True)
