"""The restricted unpickler: what it reads, and that nothing runs."""

import builtins
import io
import os
import pickle

import numpy as np
import pytest

from npid_tf.weights.unpickle import Placeholder, RestrictedUnpickler, rebuild_tensor

VALUES = np.arange(24, dtype="float32")


class Calling:
    """Its pickle calls a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def read(pickled):
    unpickler = RestrictedUnpickler(io.BytesIO(pickled), load_storage=None)
    return unpickler.load(), unpickler.refused


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (eval, ("open('{}', 'w')",)),
        (exec, ("open('{}', 'w')",)),
        (builtins.open, ("{}", "w")),
        (os.mkdir, ("{}",)),
    ],
)
def test_functions_are_refused_and_not_run(protocol, function, arguments, tmp_path):
    mark = tmp_path / "ran"
    arguments = tuple(argument.format(mark) for argument in arguments)
    attack = Calling(function, *arguments)
    pickled = pickle.dumps({"weights": [attack], "more": attack}, protocol)
    content, refused = read(pickled)
    assert not mark.exists()
    assert set(refused) == {f"{function.__module__}.{function.__name__}"}
    assert isinstance(content["more"], Placeholder)
    pickle.loads(pickled)  # An unrestricted reader does run it.
    assert mark.exists()


def test_names_below_a_known_project_are_not_imported():
    # `torch.serialization.os.system("true")`: a dotted name could be followed there.
    for name in (b"ctorch.serialization\nos.system\n", b"cnumpy\nos.system\n"):
        content, refused = read(b"\x80\x02" + name + b"X\x04\x00\x00\x00true\x85R.")
        assert isinstance(content, Placeholder)
        assert refused == []


def test_objects_keep_their_state_and_nothing_else():
    # lib.NCEAverage.NCEAverage(), then its state {"a": 1}.
    pickled = b"\x80\x02clib.NCEAverage\nNCEAverage\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    content, refused = read(pickled)
    assert content.state == {"a": 1}
    assert refused == []


@pytest.mark.parametrize("content", [{"a": [1, 2.5, "b"]}, ({1, 2}, None, True)])
def test_plain_containers_are_read(content):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert read(pickle.dumps(content, protocol)) == (content, [])


def test_a_tensor_is_a_view_of_its_storage():
    tensor = rebuild_tensor(VALUES, 2, (2, 3), (3, 1), False)
    np.testing.assert_array_equal(tensor, VALUES[2:8].reshape(2, 3))
    transposed = rebuild_tensor(VALUES, 0, (3, 2), (1, 3))
    np.testing.assert_array_equal(transposed, VALUES[:6].reshape(2, 3).T)
    np.testing.assert_array_equal(rebuild_tensor(VALUES, 23, (), ()), VALUES[23])
    assert rebuild_tensor(VALUES, 24, (0, 4), (4, 1)).shape == (0, 4)
    with pytest.raises(ValueError, match="read-only"):
        tensor[0] = 1


@pytest.mark.parametrize(
    ("storage", "offset", "size", "stride"),
    [
        (VALUES, 20, (5,), (1,)),
        (VALUES, 0, (2, 2), (24, 1)),
        (VALUES, -1, (2,), (1,)),
        (VALUES, 0, (2,), (-1,)),
        (VALUES, 0, (2, 2), (1,)),
        (VALUES, 0, (2.0,), (1,)),
        (b"bytes", 0, (2,), (1,)),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(storage, offset, size, stride):
    with pytest.raises(ValueError, match="a tensor"):
        rebuild_tensor(storage, offset, size, stride)
