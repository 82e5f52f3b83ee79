"""The exported encoder in other runtimes: their results are the Keras model's."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.backbones import build_backbone
from npid_tf.encoders.encoder import build_encoder
from npid_tf.saved_models.saved_model import Embedder, save_model

SIZE = 16


@pytest.fixture(scope="module")
def exported_encoder(tmp_path_factory):
    """The folder of a SavedModel, images and their embeddings by Keras."""
    keras.utils.set_random_seed(0)
    encoder = build_encoder(
        build_backbone("resnet18_cifar", SIZE, width=4),
        8,
        head="mlp",
        batch_norm_before_l2=True,
    )
    embedder = Embedder(encoder, SIZE, 1.0)
    directory = str(tmp_path_factory.mktemp("export") / "encoder")
    save_model(
        embedder,
        {
            "serving_default": embedder.embed_images,
            "serving_bytes": embedder.embed_bytes,
            "serving_resized": embedder.embed_resized(),
        },
        directory,
        {},
    )
    shape = [3, SIZE, SIZE, 3]
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    return directory, images, encoder(images).numpy()


def test_an_export_has_a_signature_for_images_of_the_encoders_size(exported):
    model = tf.saved_model.load(os.path.join(exported.export_dir, "encoder", "1"))
    function = model.signatures["serving_resized"]
    _, inputs = function.structured_input_signature
    assert inputs["images"].shape.as_list() == [None, 8, 8, 3]
    images = np.random.default_rng(0).integers(0, 256, [2, 8, 8, 3]).astype(np.uint8)
    np.testing.assert_allclose(
        function(images=tf.constant(images))["embeddings"],
        model.signatures["serving_default"](images=tf.constant(images))["embeddings"],
        atol=1e-6,
    )


def test_resizing_is_not_in_the_signature_for_the_encoders_size(exported_encoder):
    directory, _, _ = exported_encoder
    model = tf.saved_model.load(directory)
    graph = model.signatures["serving_resized"].graph.as_graph_def()
    bodies = [graph.node, *(f.node_def for f in graph.library.function)]
    ops = {node.op for body in bodies for node in body}
    assert not [op for op in ops if "Scale" in op or "Resize" in op or "Decode" in op]


def test_openvino_embeds_alike(exported_encoder):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    directory, images, expected = exported_encoder
    # OpenVINO's own reader of folders takes serving_default alone.
    model = openvino.convert_model(_frozen(directory), input=[[-1, SIZE, SIZE, 3]])
    compiled = openvino.Core().compile_model(model, "CPU")
    (found,) = compiled([images]).values()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_onnx_runtime_embeds_alike(exported_encoder):
    tf2onnx = pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    directory, images, expected = exported_encoder
    model, _ = tf2onnx.convert._convert_common(
        _frozen(directory).as_graph_def(),
        input_names=["images:0"],
        output_names=["Identity:0"],
        opset=17,
    )
    session = runtime.InferenceSession(model.SerializeToString())
    (name,) = [each.name for each in session.get_inputs()]
    (found,) = session.run(None, {name: images})
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_litert_embeds_alike(exported_encoder):
    reason = "ai-edge-litert is not installed"
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason=reason)
    directory, images, expected = exported_encoder
    converter = tf.lite.TFLiteConverter.from_saved_model(
        directory, signature_keys=["serving_resized"]
    )
    interpreter = litert.Interpreter(model_content=converter.convert())
    embed = interpreter.get_signature_runner("serving_resized")
    found = embed(images=images)["embeddings"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def _frozen(directory):
    """The graph of serving_resized with its variables as constants."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    model = tf.saved_model.load(directory)  # Its variables live as long as it does.
    function = model.signatures["serving_resized"]
    return convert_variables_to_constants_v2(function).graph
