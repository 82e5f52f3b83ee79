"""`npid_tf`: what it offers, and what importing it costs."""

import ast
import importlib
import inspect
import pickle
import pydoc
import sys
from importlib.util import find_spec

import pytest

import npid_tf
from tests.support import fresh

LIGHT = """
import npid_tf, npid_tf.client, npid_tf.search.live.index, npid_tf.search.exact
import sys
npid_tf.Client("http://localhost:8501")
heavy = [m for m in ("tensorflow", "keras", "scann", "absl") if m in sys.modules]
assert not heavy, heavy
print("light")
"""


def test_client_and_search_without_scann_load_no_tensorflow_and_no_keras():
    assert fresh.python(LIGHT) == "light"


def test_a_library_leaves_the_log_level_of_tensorflow_alone():
    code = "import os, npid_tf.client; print(os.environ.get('TF_CPP_MIN_LOG_LEVEL'))"
    assert fresh.python(code) == "None"


@pytest.mark.parametrize(
    "program",
    [
        ["-m", "npid_tf.convert"],
        ["-c", "from npid_tf.command_line.npid import main; main()", "convert"],
    ],
)
def test_a_program_quiets_tensorflow(program):
    done = fresh.run([*program, "--help"])
    assert done.returncode == 0 and "--source" in done.stdout
    assert "cpu_feature_guard" not in done.stderr


def test_keras_is_asked_to_be_on_tensorflow():
    code = "import npid_tf, os; print(os.environ['KERAS_BACKEND'])"
    assert fresh.python(code) == "tensorflow"


@pytest.mark.parametrize(
    "use",
    ["npid_tf.MemoryBank", "npid_tf.Muon", "__import__('npid_tf.npid')"],
)
@pytest.mark.skipif(not find_spec("openvino"), reason="No other backend is there.")
def test_another_backend_of_keras_is_refused_when_a_layer_is_asked_for(use):
    code = f"import npid_tf.client, keras; {use}"
    done = fresh.run(["-c", code], KERAS_BACKEND="openvino")
    assert "needs Keras on TensorFlow" in done.stderr
    assert "ImportError" in done.stderr
    assert "'openvino'" in done.stderr


@pytest.mark.skipif(not find_spec("openvino"), reason="No other backend is there.")
def test_the_client_works_beside_another_backend_of_keras():
    code = "import keras, npid_tf.client; print(keras.backend.backend())"
    assert fresh.python(code, KERAS_BACKEND="openvino") == "openvino"


def test_dir_and_star_give_the_public_names():
    names = {}
    exec("from npid_tf import *", names)
    assert set(npid_tf.__all__) <= {*names} & {*dir(npid_tf)}
    assert "NPID" in fresh.python("import npid_tf; print(dir(npid_tf))")


def test_help_tells_of_the_public_names():
    text = pydoc.plain(pydoc.render_doc(npid_tf))
    for name in ("class NPID", "class Client", "build_encoder", "Image embeddings"):
        assert name in text


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"'NPIDD'.*Known:.*NPID.*knn_accuracy"):
        npid_tf.NPIDD  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'NPIDD'"):
        exec("from npid_tf import NPIDD")


def test_rooms_need_no_import_of_their_own():
    code = "import npid_tf; print(npid_tf.losses.NCE.__name__, npid_tf.search.__name__)"
    assert fresh.python(code) == "NCE npid_tf.search"


@pytest.mark.parametrize("name", [n for n in npid_tf.__all__ if n != "__version__"])
def test_public_names_are_pickled_by_the_module_they_live_in(name):
    value = getattr(npid_tf, name)
    assert pickle.loads(pickle.dumps(value)) is value


def test_the_function_embed_stays_where_its_program_is_imported(monkeypatch):
    function = npid_tf.embed
    monkeypatch.delitem(sys.modules, "npid_tf.embed", raising=False)
    assert importlib.import_module("npid_tf.embed").main is not None
    assert npid_tf.embed is function
    monkeypatch.delitem(vars(npid_tf), "embed")
    monkeypatch.delitem(sys.modules, "npid_tf.embed")
    importlib.import_module("npid_tf.embed")  # Before the function was asked for.
    assert npid_tf.embed is function


def test_other_attributes_may_be_set(monkeypatch):
    monkeypatch.setattr(npid_tf, "embed", len)
    assert npid_tf.embed is len


def test_editors_read_the_names_that_python_finds():
    tree = ast.parse(inspect.getsource(npid_tf))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    read = {
        alias.name: node.module.removeprefix("npid_tf.")
        for node in block.body
        for alias in node.names
    }
    assert read == npid_tf._HOMES
    assert sorted([*read, "__version__"]) == sorted(npid_tf.__all__)


def test_each_name_is_in_the_module_that_is_named():
    for name, module in npid_tf._HOMES.items():
        home = importlib.import_module(f"npid_tf.{module}")
        assert getattr(home, name) is getattr(npid_tf, name)
