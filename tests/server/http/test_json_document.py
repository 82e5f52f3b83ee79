"""JSON is priced before Python makes objects of it; lists of numbers cost little."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from npid_tf.server.http.json_document import AT_ONCE_BYTES, parse_object
from npid_tf.server.limits import RequestError, abridged

MB = 1 << 20


def fill(start, part, end, size=2 * MB):
    return start + part * ((size - len(start) - len(end)) // len(part)) + end


@pytest.mark.parametrize(
    "body",
    [
        fill(b'{"ids": [', b"[],", b"1]}"),
        fill(b'{"ids": [', b"{},", b"1]}"),
        fill(b'{"ids": [', b'{"a":1},', b"1]}"),
        fill(b'{"ids": [', b'"x",', b"1]}"),
        fill(b'{"ids": [1,"",', b"1,", b"1]}"),
        fill(b'{"ids": ["', b"\\n", b'"]}', 3 * MB),
        fill(b'{"ids": ["', b"\\ud83d\\ude00", b'"]}', 8 * MB),
        fill(b'{"ids": ["', "é".encode(), b'"]}'),
        fill(b"{", b'"a":1,', b'"b":1}'),
        fill(b"", b"[", b""),
        fill(b'{"ids":', b"[", b""),
        fill(b"", b'{"a":', b""),
        fill(b'{"ids":[[1],', b"[1,2],", b"[1]]}"),
        fill(b'{"ids":[', b"[1],[", b"]]}"),
    ],
    ids=range(14),
)
def test_more_values_than_a_request_needs_are_refused(body):
    with pytest.raises(RequestError) as caught:
        parse_object(body)
    assert caught.value.status in (400, 413)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(["uint8", "int32", "int64", "float64"]).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            st.tuples(st.just(300), st.integers(1, 7), st.integers(1, 3)),
            elements={"allow_nan": False, "allow_infinity": False}
            if dtype == "float64"
            else None,
        )
    ),
    st.sampled_from([None, 1]),
)
def test_large_arrays_are_read_as_json_reads_them(array, indent):
    padding = "é\U0001f600" + "x" * AT_ONCE_BYTES
    text = {"a": padding, "b": {"c": array.tolist()}, 'd"\\': array[0].tolist()}
    found = parse_object(
        json.dumps(text, indent=indent, ensure_ascii=indent is None).encode()
    )
    np.testing.assert_array_equal(np.array(found["b"]["c"]), array)
    assert {**found, "b": 0} == {**text, "b": 0}


@pytest.mark.parametrize(
    "value",
    [
        '"%s"' % ("[1,2]," * 5000),
        '"\\"%s"' % ("[1,2]," * 5000),
        '"\\\\",  "b": [%s 1]' % ("[1,2], " * 5000),
        '["a", [%s1]]' % ("1," * 20000),
        "[%s[1]]" % ("[1,2]," * 5000),
        "[%s1]" % ("12345678901234567890123," * 3000),
        "[%strue]" % ("1," * 20000),
    ],
    ids=range(7),
)
def test_what_is_no_rectangle_of_numbers_stays_as_it_is(value):
    body = f'{{"pad": "{"x" * 70000}", "a": {value}}}'
    assert parse_object(body.encode()) == json.loads(body)


@pytest.mark.parametrize(
    "value",
    [
        "[[1],5[2],%s[1]]" % ("[1]," * 9000),
        "[%s 1 2]" % ("1," * 9000),
        "[%s,1]" % ("1," * 9000),
        "[[],%s[1]]" % ("[]," * 9000),
        "[%s1][2]" % ("1," * 9000),
        "[%s01]" % ("1," * 9000),
        "[%s+1]" % ("1," * 9000),
    ],
    ids=range(7),
)
def test_lists_that_are_no_json_are_no_arrays(value):
    body = f'{{"pad": "{"x" * 70000}", "a": {value}}}'.encode()
    try:
        expected = json.loads(body)
    except ValueError:
        with pytest.raises(RequestError, match="JSON Parse error"):
            parse_object(body)
    else:
        assert parse_object(body) == expected


def test_large_text_with_many_escapes_is_read():
    body = b'{"b64": "' + (b"a" * 60 + b"\\/\\n") * 9000 + b'"}'
    assert parse_object(body) == json.loads(body)


@pytest.mark.parametrize("pad", [0, 70_000])
def test_a_key_that_comes_twice_is_refused(pad):
    body = b'{"k": 1, "pad": "%s", "k": 2}' % (b"x" * pad)
    with pytest.raises(RequestError, match="k is there twice"):
        parse_object(body)


def test_a_message_tells_little_of_a_value_however_large():
    value = [[list(range(100))] * 100] * 100
    for _ in range(900):
        value = [value]
    assert len(abridged(value)) <= 80
    assert len(abridged({"a": "x" * MB, "b": value})) <= 80
    assert abridged("x" * 99) == "x" * 77 + "..."
    assert abridged([1, "a"]) == "[1, 'a']"
