"""What an export holds, that TensorFlow alone serves it, and that failures leave it."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.encoders.encoder import encoder_hash
from npid_tf.export import main
from npid_tf.runs import build, data
from npid_tf.runs.export import ExportFlags, export
from npid_tf.search.live.index import LiveIndex
from tests.support.given import given

pytest.importorskip("scann")


@pytest.fixture(scope="module")
def model_and_images(trained_workdir):
    """NPID as trained, and its training images, uint8 [256, 8, 8, 3]."""
    source = data.build_source(trained_workdir)
    dataset = data.build_eval_dataset(trained_workdir, source)
    images = np.concatenate([images for images, _ in dataset])
    return build.load_trained(trained_workdir, source), images


@pytest.fixture
def copy_of_export(exported, tmp_path):
    directory = str(tmp_path / "export")
    shutil.copytree(exported.export_dir, directory)
    return dataclasses.replace(exported, export_dir=directory)


def test_the_manifest_tells_what_the_index_holds(
    trained_workdir, exported, model_and_images
):
    directory = os.path.join(exported.export_dir, "index")
    with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    assert manifest["encoder_hash"] == encoder_hash(model_and_images[0].encoder)
    assert (manifest["n"], manifest["dim"]) == (256, 16)
    assert manifest["settings"] == {"kind": "brute force", "dtype": "float32"}
    assert manifest["recall"] == {"k": 5, "target": 0.95, "value": 1.0}
    assert manifest["queries"] == "256 rows of the index, each without it"
    ((entry,), settings) = manifest["curve"], manifest["settings"]
    assert (entry["settings"], entry["recall"]) == (settings, 1.0)
    assert manifest["data"]["split"] == "train[:256]"
    with open(os.path.join(directory, "ids.json"), encoding="utf-8") as file:
        ids = json.load(file)
    labels = data.build_source(trained_workdir).labels
    assert ids["ids"] is None  # They are the row numbers.
    assert ids["labels"]["classes"] == [str(digit) for digit in range(10)]
    assert ids["labels"]["numbers"] == labels.tolist()


CLIENT = """
import sys
for name in ("npid_tf", "keras", "scann", "tensorflow_addons", "tensorflow_serving"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf

directory = sys.argv[1]
images = np.load(f"{directory}/images.npy")
files = tf.stack([tf.io.encode_png(image) for image in images])
grays = tf.stack([tf.io.encode_png(image[..., :1]) for image in images])
encoder = tf.saved_model.load(f"{directory}/encoder/1").signatures
found = tf.saved_model.load(f"{directory}/neighbors/1").signatures["serving_default"](
    image_bytes=files
)
np.savez(
    f"{directory}/received.npz",
    images=encoder["serving_default"](images=tf.constant(images))["embeddings"],
    files=encoder["serving_bytes"](image_bytes=files)["embeddings"],
    grays=encoder["serving_bytes"](image_bytes=grays)["embeddings"],
    **found,
)
"""


def test_tensorflow_alone_serves_the_same_embeddings_and_neighbors(
    copy_of_export, model_and_images
):
    model, images = model_and_images
    directory = copy_of_export.export_dir
    np.save(os.path.join(directory, "images.npy"), images[:20])
    command = [sys.executable, "-c", CLIENT, directory]
    subprocess.run(command, check=True, capture_output=True)
    received = np.load(os.path.join(directory, "received.npz"))

    expected = model.encoder.predict(images, verbose=0)
    for key in ("images", "files", "grays"):  # Digits are grey.
        np.testing.assert_allclose(received[key], expected[:20], atol=1e-5)
    np.testing.assert_array_equal(received["ids"][:, 0], np.arange(20))
    products = np.sort(expected[:20] @ expected.T, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(received["similarities"], products, atol=1e-5)
    probabilities = received["class_probabilities"]
    assert probabilities.shape == (20, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_saved_model_cli_lists_both_signatures(exported):
    directory = os.path.join(exported.export_dir, "encoder", "1")
    module = "tensorflow.python.tools.saved_model_cli"
    command = [sys.executable, "-m", module, "show", "--dir", directory, "--all"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    default, from_bytes = _signatures(shown)
    assert "inputs['images'] tensor_info: dtype: DT_UINT8" in default
    assert "shape: (-1, -1, -1, 3)" in default
    assert "inputs['image_bytes'] tensor_info: dtype: DT_STRING" in from_bytes
    for signature in (default, from_bytes):
        assert "outputs['embeddings'] tensor_info: dtype: DT_FLOAT" in signature
        assert "shape: (-1, 16)" in signature


def _signatures(shown):
    """What is shown of serving_default and serving_bytes, each in one line."""
    for name in ("serving_default", "serving_bytes"):
        _, part = shown.split(f"signature_def['{name}']")
        yield " ".join(part.split("Method name")[0].split())


def test_the_neighbors_model_takes_files_and_names_its_results(exported):
    directory = os.path.join(exported.export_dir, "neighbors", "1")
    signature = tf.saved_model.load(directory).signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()
    assert (name, spec.dtype, spec.shape.as_list()) == (
        "image_bytes",
        tf.string,
        [None],
    )
    assert {
        name: (spec.dtype, spec.shape.as_list())
        for name, spec in signature.structured_outputs.items()
    } == {
        "ids": (tf.int64, [None, 5]),
        "similarities": (tf.float32, [None, 5]),
        "class_probabilities": (tf.float32, [None, 10]),
    }


def test_the_warm_up_requests_are_answered_by_their_signatures(exported):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    directory = os.path.join(exported.export_dir, "encoder", "1")
    signatures = tf.saved_model.load(directory).signatures
    path = os.path.join(directory, "assets.extra", "tf_serving_warmup_requests")
    answered = []
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        inputs = {
            name: tf.constant(tf.make_ndarray(value))
            for name, value in request.inputs.items()
        }
        signature = request.model_spec.signature_name
        assert signatures[signature](**inputs)["embeddings"].shape == [1, 16]
        answered.append((request.model_spec.name, signature))
    assert answered == [("encoder", "serving_default"), ("encoder", "serving_bytes")]


def test_a_second_export_makes_version_2_and_leaves_version_1(
    trained_workdir, copy_of_export, capsys
):
    directory = copy_of_export.export_dir
    before = _contents(directory, "encoder/1", "neighbors/1")
    index = LiveIndex(os.path.join(directory, "index"))
    index.delete(["7"])
    index.upsert(["new", "newer"], index.embeddings(["3", "4"]))
    index.close()
    main(given(copy_of_export, workdir=trained_workdir.workdir))
    shown = capsys.readouterr().out
    assert "recall@5 1.0000 over 256 rows" in shown
    assert "encoder carry over, 2 images added and 1 removed" in shown
    assert _contents(directory, "encoder/1", "neighbors/1") == before
    names = ["encoder", "index", "index.live", "neighbors"]
    assert sorted(os.listdir(directory)) == names
    for model in ("encoder", "neighbors"):
        assert sorted(os.listdir(os.path.join(directory, model))) == ["1", "2"]


def test_a_failed_export_leaves_the_earlier_one_intact(
    trained_workdir, copy_of_export, monkeypatch
):
    def fill_the_disk(module, signatures, directory, description):
        tf.io.write_file(os.path.join(directory, "saved_model.pb"), b"the beginning")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("npid_tf.runs.export.save_model", fill_the_disk)
    directory = copy_of_export.export_dir
    before = _contents(directory, ".")
    with pytest.raises(OSError, match=r"Could not write .*No space left .* is intact"):
        export(trained_workdir, copy_of_export)
    assert _contents(directory, ".") == before


def test_a_recall_that_is_missed_leaves_the_earlier_export_intact(
    trained_workdir, copy_of_export
):
    directory = copy_of_export.export_dir
    before = _contents(directory, ".")
    flags = dataclasses.replace(copy_of_export, recall=1.0, index_dtype="int8")
    with pytest.raises(ValueError, match=r"misses --recall=1.0"):
        export(trained_workdir, flags)
    assert _contents(directory, ".") == before


def test_held_out_images_tune_the_index_where_flags_name_them(
    trained_workdir, copy_of_export
):
    manifest = export(
        dataclasses.replace(trained_workdir, eval_split="train[256:300]"),
        dataclasses.replace(copy_of_export, recall=0.8, index_dtype="bfloat16"),
    )
    assert manifest["queries"] == "44 images that are not in the index"
    assert manifest["settings"]["dtype"] == "bfloat16"


def test_scann_in_the_graph_finds_what_the_neighbors_model_finds(
    trained_workdir, copy_of_export, model_and_images
):
    flags = dataclasses.replace(copy_of_export, scann_saved_model=True)
    export(trained_workdir, flags)
    assert os.listdir(os.path.join(copy_of_export.export_dir, "neighbors_scann")) == [
        "2"
    ]
    files = tf.stack([tf.io.encode_png(image) for image in model_and_images[1][:30]])
    exact, found = (
        tf.saved_model.load(
            os.path.join(copy_of_export.export_dir, name, "2")
        ).signatures["serving_default"](image_bytes=files)
        for name in ("neighbors", "neighbors_scann")
    )
    np.testing.assert_array_equal(found["ids"][:, 0], np.arange(30))
    for name in ("similarities", "class_probabilities"):
        np.testing.assert_allclose(found[name], exact[name], atol=1e-4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"scann_saved_model": True, "index_dtype": "bfloat16"}, "cannot load others"),
        ({"engine": "faiss"}, "Unknown engine 'faiss'. Known: scann, milvus"),
        ({"engine": "milvus"}, "Pass --uri="),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    trained_workdir, exported, flags, message
):
    with pytest.raises(ValueError, match=message):
        export(trained_workdir, dataclasses.replace(exported, **flags))


def test_an_unknown_dtype_is_refused_at_once(exported):
    with pytest.raises(ValueError, match=r"index_dtype 'float16'. Known: float32"):
        dataclasses.replace(exported, index_dtype="float16")


def _contents(directory, *parts):
    """{path: bytes} of all files in parts of `directory`, hidden ones too."""
    return {
        os.path.join(root, name): open(os.path.join(root, name), "rb").read()
        for part in parts
        for root, _, names in os.walk(os.path.join(directory, part))
        for name in names
    }


def test_without_a_checkpoint_nothing_is_written(trained_workdir, tmp_path):
    directory = tmp_path / "export"
    config = dataclasses.replace(trained_workdir, workdir=str(tmp_path / "run"))
    with pytest.raises(ValueError, match="No checkpoint"):
        export(config, ExportFlags(export_dir=str(directory)))
    assert not directory.exists()


def test_k_beyond_the_images_is_refused(trained_workdir, exported):
    with pytest.raises(ValueError, match=r"at most the 256 .*Received: 257"):
        export(trained_workdir, dataclasses.replace(exported, k=(257,)))


def test_without_a_folder_to_write_to_it_says_which_flag_to_pass(trained_workdir):
    with pytest.raises(ValueError, match="--export_dir"):
        export(trained_workdir, ExportFlags())
