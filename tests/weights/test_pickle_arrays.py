"""The pickle of a state dict."""

import collections
import io
import pickletools

import numpy as np

from npid_tf.weights.pickle_arrays import pickle_arrays
from npid_tf.weights.unpickle import RestrictedUnpickler

ARRAYS = {
    "layer1.0.weight": np.arange(24, dtype="float32").reshape(2, 3, 4),
    "b\u00e4r": np.zeros(0, "float32"),
    "scalar": np.array(7, "float32"),
}


def test_it_is_read_as_an_ordered_dict_of_the_same_arrays():
    values = list(ARRAYS.values())

    def load_storage(dtype, key, count, view):
        assert (dtype, count, view) == ("float32", values[int(key)].size, None)
        return values[int(key)].reshape(-1)

    pickled = pickle_arrays(ARRAYS)
    pickletools.dis(pickled, io.StringIO())  # Raises where its form is not right.
    unpickler = RestrictedUnpickler(io.BytesIO(pickled), load_storage)
    content = unpickler.load()
    assert unpickler.refused == []
    assert type(content) is collections.OrderedDict
    assert list(content) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert content[name].shape == array.shape
        np.testing.assert_array_equal(content[name], array)
