"""The modules that serve, against the encoder itself and NumPy."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.preprocess import preprocess_for_eval
from npid_tf.encoders.encoder import build_encoder, encoder_hash
from npid_tf.saved_models.saved_model import (
    Embedder,
    NeighborFinder,
    read_description,
    save_model,
    write_warmup,
)
from tests.support.vectors import unit_rows


@pytest.fixture
def encoder():
    backbone = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Conv2D(6, 3)])
    return build_encoder(backbone, embedding_dim=5)


def images_of(height, width, num_images=4, channels=3):
    random = np.random.default_rng(0)
    shape = [num_images, height, width, channels]
    return random.integers(0, 256, shape, np.uint8)


def png(images):
    return tf.stack([tf.io.encode_png(image) for image in images])


def test_images_of_the_right_size_give_what_the_encoder_gives(encoder):
    images = images_of(8, 8)
    embedder = Embedder(encoder, 8, 1.0)
    embeddings = embedder.embed_images(images)["embeddings"]
    np.testing.assert_allclose(embeddings, encoder(images), atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (20, 12), (5, 9)])
def test_images_of_any_size_go_through_the_preprocessing_of_evaluation(encoder, size):
    images = images_of(*size)
    embedder = Embedder(encoder, 8, 0.8)
    expected = encoder(preprocess_for_eval(tf.constant(images), 8, 0.8))
    embeddings = embedder.embed_images(images)["embeddings"]
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    embeddings = embedder.embed_bytes(png(images))["embeddings"]
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_files_of_several_kinds_and_sizes_share_a_batch(encoder):
    gray = images_of(8, 8, 1, channels=1)
    color = images_of(12, 8, 1)
    files = tf.stack(
        [
            tf.io.encode_png(gray[0]),
            tf.io.encode_png(color[0]),
            tf.io.encode_jpeg(color[0]),
        ]
    )
    embedder = Embedder(encoder, 8, 1.0)
    from_gray, from_png, from_jpeg = embedder.embed_bytes(files)["embeddings"]
    expected = embedder.embed_images(np.repeat(gray, 3, axis=3))["embeddings"][0]
    np.testing.assert_allclose(from_gray, expected, atol=1e-5)
    expected = embedder.embed_images(color)["embeddings"][0]
    np.testing.assert_allclose(from_png, expected, atol=1e-5)
    decoded = tf.io.decode_jpeg(files[2], dct_method="INTEGER_ACCURATE")[None]
    expected = embedder.embed_images(decoded)["embeddings"][0]
    np.testing.assert_allclose(from_jpeg, expected, atol=1e-5)


def test_the_neighbors_are_those_of_a_sort_and_vote_by_their_similarity(encoder):
    embedder = Embedder(encoder, 8, 1.0)
    vectors = unit_rows(7, 5, seed=1)
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    files = png(images_of(8, 8))
    finder = NeighborFinder(embedder, vectors, 4, labels, 0.2)
    found = finder.find(files)

    products = embedder.embed_bytes(files)["embeddings"].numpy() @ vectors.T
    ids = np.argsort(-products, axis=1)[:, :4]
    np.testing.assert_array_equal(found["ids"], ids)
    similarities = np.take_along_axis(products, ids, axis=1)
    np.testing.assert_allclose(found["similarities"], similarities, atol=1e-6)
    weights = np.exp(similarities.astype(np.float64) / 0.2)[:, :, None]
    votes = (weights * np.eye(3)[labels[ids]]).sum(axis=1)
    np.testing.assert_allclose(
        found["class_probabilities"],
        votes / votes.sum(axis=1, keepdims=True),
        atol=1e-5,
    )


def test_a_session_restores_all_variables_as_tensorflow_serving_does(encoder, tmp_path):
    finder = NeighborFinder(Embedder(encoder, 8, 1.0), np.eye(5, dtype=np.float32), 2)
    directory, files = str(tmp_path / "1"), png(images_of(8, 8))
    save_model(finder, {"serving_default": finder.find}, directory, {})
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], directory)
        signature = loaded.signature_def["serving_default"]
        similarities = session.run(
            signature.outputs["similarities"].name,
            {signature.inputs["image_bytes"].name: files.numpy()},
        )
    expected = finder.find(files)["similarities"]
    np.testing.assert_allclose(similarities, expected, atol=1e-5)


def test_without_labels_there_are_no_class_probabilities(encoder):
    finder = NeighborFinder(Embedder(encoder, 8, 1.0), np.eye(5, dtype=np.float32), 2)
    assert set(finder.find(png(images_of(8, 8)))) == {"ids", "similarities"}


def test_encoders_with_the_same_weights_have_the_same_hash(encoder):
    before = encoder_hash(encoder)
    assert encoder_hash(keras.models.clone_model(encoder)) != before
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    assert encoder_hash(copy) == before
    copy.weights[0].assign(copy.weights[0] * 1.001)
    assert encoder_hash(copy) != before


def test_the_description_is_read_as_it_was_written(encoder, tmp_path):
    embedder, directory = Embedder(encoder, 8, 1.0), str(tmp_path / "1")
    description = {"encoder_hash": "abc", "data": {"data_dir": None}}
    save_model(
        embedder, {"serving_default": embedder.embed_images}, directory, description
    )
    assert read_description(directory) == description


def test_a_model_of_another_maker_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a model exported by npid_tf"):
        read_description(str(tmp_path))


def test_without_tensorflow_serving_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ImportError, match=r"npid_tf\[serving\]"):
        write_warmup(str(tmp_path), "encoder", 8)
