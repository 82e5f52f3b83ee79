"""JSON to tensors and back, as TensorFlow Serving's documents say."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from npid_tf.server.http.json_document import parse_object
from npid_tf.server.http.json_tensors import (
    decode_base64,
    read_inputs,
    read_signature_name,
    to_array,
    write_outputs,
)
from npid_tf.server.limits import RequestError

TYPES = ["float32", "float64", "int8", "uint8", "int32", "int64", "bool"]


@given(
    st.sampled_from(TYPES).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3))
    )
)
def test_numbers_come_back_as_they_were(array):
    dtype = tf.as_dtype(array.dtype)
    written = json.loads(json.dumps(write_outputs({"x": array}, in_rows=True)))
    rows, in_rows = read_inputs({"instances": written["predictions"]}, {"x": dtype})
    assert in_rows
    np.testing.assert_array_equal(rows["x"], array)
    assert rows["x"].dtype == array.dtype
    written = json.loads(json.dumps(write_outputs({"x": array}, in_rows=False)))
    columns, in_rows = read_inputs({"inputs": {"x": written["outputs"]}}, {"x": dtype})
    assert not in_rows
    np.testing.assert_array_equal(columns["x"], array)


@given(st.lists(st.binary(), min_size=1))
def test_bytes_come_back_as_they_were(values):
    array = np.empty(len(values), object)
    array[:] = values
    written = json.loads(json.dumps(write_outputs({"x_bytes": array}, True)))
    read, _ = read_inputs({"instances": written["predictions"]}, {"x": tf.string})
    assert read["x"].tolist() == values


def test_text_is_utf8_and_strings_may_be_nested():
    array = to_array([["ä", {"b64": "Zm9v"}]], tf.string)
    assert array.tolist() == [["ä".encode(), b"foo"]]
    assert write_outputs({"x": array}, False) == {"outputs": [["ä", "foo"]]}


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([1, [2]], tf.float32, "several sizes"),
        ([[1], [2, 3]], tf.int32, "several sizes"),
        ([1.5], tf.int32, "expected type: int32"),
        ([256], tf.uint8, "expected type: uint8"),
        ([-1], tf.uint8, "expected type: uint8"),
        ([10**30], tf.int64, "expected type: int64"),
        ([True], tf.float32, "expected type: float32"),
        ([1], tf.bool, "expected type: bool"),
        (["1"], tf.float32, "expected type: float32"),
        ([None], tf.float32, "expected type: float32"),
        ([{"b64": "Zm9v"}], tf.float32, "expected type: float32"),
        ([1], tf.string, "expected type: string"),
        (["a", ["b"]], tf.string, "expected type: string"),
        ([["a"], ["b", "c"]], tf.string, "expected a list of size: 1"),
        ([{"b64": "!"}], tf.string, "Unable to base64 decode"),
        ([{"b64": "Zm9v", "x": 1}], tf.string, "not formatted correctly for base64"),
        ([{"b64": 5}], tf.string, "not formatted correctly for base64"),
    ],
)
def test_values_that_do_not_fit_are_refused(value, dtype, message):
    with pytest.raises(RequestError, match=message) as caught:
        to_array(value, dtype)
    assert caught.value.status == 400


BOTH = {"a": tf.int32, "b": tf.int32}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]}, "only one of 'inputs' or 'instances'"),
        ({"instances": 5}, "Expecting 'instances' to be a list"),
        ({"instances": []}, "No values in 'instances'"),
        ({"instances": [1]}, "instances is a plain list"),
        ({"instances": [{"a": 1, "b": 1}, 5]}, "process element: 1 of"),
        ({"instances": [{"a": 1}]}, "keys must be equal to: a,b"),
        ({"instances": [{"a": 1, "b": 2, "c": 3}]}, "keys must be equal to: a,b"),
        ({"inputs": [1]}, "inputs is a plain value or list"),
        ({"inputs": {"a": [1]}}, "Missing named input: b"),
    ],
)
def test_documents_of_another_form_are_refused(document, message):
    message = message.replace("plain list", "plain value or list")
    with pytest.raises(RequestError, match=message):
        read_inputs(document, BOTH)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[1]", b"[" * 10**5, b"1" * 5000]
)
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(RequestError, match="JSON"):
        parse_object(body)


@given(st.text("aB9+/= é", max_size=9) | st.integers() | st.none())
def test_base64_is_decoded_or_refused(value):
    try:
        assert isinstance(decode_base64({"b64": value}), bytes)
    except RequestError as error:
        assert error.status == 400


def test_the_default_signature_has_no_name_in_a_request():
    assert read_signature_name({}) == "serving_default"
    assert read_signature_name({"signature_name": "serving_bytes"}) == "serving_bytes"
    with pytest.raises(RequestError, match="must be a string"):
        read_signature_name({"signature_name": 5})
