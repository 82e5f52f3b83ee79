"""`keras.saving.load_model` finds our layers, in whatever order things are imported.

saved_by_d43bdf2/ holds what `record.py` in it made of the commit d43bdf2.
"""

import pathlib
import pickle
import re

import keras
import numpy as np
import pytest

import npid_tf
from npid_tf.keras_calls.registration import _Listener
from tests.support import fresh

HERE = pathlib.Path(__file__).parent / "saved_by_d43bdf2"
SOURCES = (pathlib.Path(npid_tf.__file__).parent).rglob("*.py")
LOAD = """
import sys
import numpy as np
import {first}
import {second}
import keras

expected = np.load(sys.argv[1] + "/expected.npz")
for name in ("npid", "encoder"):
    model = keras.saving.load_model(sys.argv[1] + f"/{{name}}.keras")
    given = model.predict(expected["images"], verbose=0)
    np.testing.assert_allclose(given, expected["embeddings"], atol=1e-5)
print("the same")
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("keras", "npid_tf"),
        ("npid_tf", "keras"),
        # One of our modules imports Keras, before the layer it makes is registered.
        ("npid_tf.encoders.encoder", "npid_tf.npid"),
    ],
)
def test_a_model_is_loaded_in_a_fresh_process(first, second):
    code = LOAD.format(first=first, second=second)
    assert fresh.python(code, str(HERE)) == "the same"


def test_a_pickled_model_is_loaded_in_a_fresh_process(tmp_path):
    model = keras.saving.load_model(HERE / "npid.keras")
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    code = """
import pickle, sys
model = pickle.load(open(sys.argv[1], "rb"))
print(type(model).__name__, type(model.bank).__name__)
"""
    assert fresh.python(code, str(tmp_path / "model")) == "NPID MemoryBank"


def test_bank_and_loss_of_a_file_of_before_are_read():
    expected = np.load(HERE / "expected.npz")
    model = keras.saving.load_model(HERE / "npid.keras")
    np.testing.assert_array_equal(model.bank.numpy(), expected["vectors"])
    assert model.bank.momentum == 0.25
    loss = model.evaluate(expected["images"], np.arange(12), batch_size=6, verbose=0)
    np.testing.assert_allclose(loss, expected["loss"], rtol=1e-5)
    model.fit(expected["images"], np.arange(12), batch_size=6, verbose=0)


def test_every_registered_class_is_known_where_keras_comes_after_npid_tf():
    marked = re.compile(r"register_keras_serializable\(\"npid_tf\"\)\s*class (\w+)")
    classes = {name for path in SOURCES for name in marked.findall(path.read_text())}
    assert len(classes) > 10
    code = """
import importlib.util, npid_tf
importlib.util.find_spec("keras")  # Looking for it is not loading it.
import keras
print(*keras.saving.get_custom_objects())
"""
    registered = fresh.python(code).split()
    assert {f"npid_tf>{name}" for name in classes} <= set(registered)


def test_the_listener_passes_by_all_other_modules():
    listener = _Listener(register=None)
    assert listener.find_spec("json") is None
    assert listener.find_spec("keras_hub") is None
    assert listener.find_spec("npid_tf.no_such_module", npid_tf.__path__) is None
