"""The encoder around any Keras backbone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import build_encoder
from npid_tf.encoders.encoder import with_features

MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)


def no_backbone():
    """Gives the images that it gets."""
    images = keras.Input((6, 6, 3))
    return keras.Model(images, keras.layers.Identity()(images))


def conv_backbone():
    images = keras.Input((6, 6, 3))
    return keras.Model(images, keras.layers.Conv2D(7, 3, activation="relu")(images))


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("head_batch_norm", [True, False])
def test_embeddings_are_unit_vectors_of_any_images(head, head_batch_norm):
    encoder = build_encoder(
        conv_backbone(), 5, head=head, batch_norm_before_l2=head_batch_norm
    )
    for images in (IMAGES, IMAGES.astype("float32")):
        embeddings = encoder(images, training=True)
        assert embeddings.shape == (4, 5)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoder(IMAGES), encoder(IMAGES.astype("float32")))


def test_images_are_normalized_as_torchvision_documents_it():
    features, _ = with_features(build_encoder(no_backbone()))(IMAGES)
    expected = (IMAGES / 255 - MEAN) / DEVIATION
    np.testing.assert_allclose(features, expected.mean(axis=(1, 2)), atol=1e-5)


def test_a_backbone_may_normalize_by_itself():
    features, _ = with_features(build_encoder(no_backbone(), normalize=False))(IMAGES)
    np.testing.assert_allclose(features, IMAGES.mean(axis=(1, 2)), rtol=1e-5)


def test_features_without_positions_are_taken_as_they_are():
    images = keras.Input((6, 6, 3))
    backbone = keras.Model(images, keras.layers.Flatten()(images))
    features, embeddings = with_features(build_encoder(backbone, 5))(IMAGES)
    expected = (IMAGES / 255 - MEAN) / DEVIATION
    np.testing.assert_allclose(features, expected.reshape(4, -1), atol=1e-5)
    assert embeddings.shape == (4, 5)


def test_linear_head_is_a_projection_on_the_sphere():
    encoder = build_encoder(conv_backbone(), 5)
    features, embeddings = with_features(encoder)(IMAGES)
    kernel, bias = encoder.get_layer("projection").get_weights()
    projected = np.array(features, np.float64) @ kernel + bias
    expected = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)


def test_mlp_head_has_a_hidden_layer_as_wide_as_the_features():
    encoder = build_encoder(conv_backbone(), 5, head="mlp")
    shapes = [w.shape for w in encoder.trainable_weights if len(w.shape) == 2]
    assert shapes == [(7, 7), (7, 5)]


def test_without_a_head_the_features_are_the_embedding():
    features, embeddings = with_features(
        build_encoder(conv_backbone(), 7, head="none")
    )(IMAGES)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, features / norms, atol=1e-6)
    with pytest.raises(ValueError, match=r"must be the number of features, 7\. .*: 5"):
        build_encoder(conv_backbone(), 5, head="none")


def test_with_features_shares_the_weights():
    encoder = build_encoder(conv_backbone(), 5)
    both = with_features(encoder)
    encoder.get_layer("projection").bias.assign(np.arange(5.0))
    np.testing.assert_array_equal(both(IMAGES)[1], encoder(IMAGES))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_embeddings_are_float32_under_mixed_precision(policy):
    expected = build_encoder(conv_backbone(), 5)
    keras.mixed_precision.set_global_policy(policy)
    encoder = build_encoder(conv_backbone(), 5, batch_norm_before_l2=True)
    assert encoder.get_layer("projection").compute_dtype == policy.split("_")[1]
    embeddings = encoder(IMAGES)
    assert embeddings.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    plain = build_encoder(conv_backbone(), 5)
    plain.set_weights(expected.get_weights())
    np.testing.assert_allclose(plain(IMAGES), expected(IMAGES), atol=0.03)


def test_save_and_load_round_trip(tmp_path):
    encoder = build_encoder(conv_backbone(), 5, batch_norm_before_l2=True)
    encoder(IMAGES, training=True)
    encoder.save(tmp_path / "encoder.keras")
    again = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(IMAGES), encoder(IMAGES))


def test_unknown_heads_are_refused():
    with pytest.raises(
        ValueError, match=r"Unknown head 'deep'\. Known: linear, mlp, none"
    ):
        build_encoder(conv_backbone(), head="deep")


def test_backbones_of_another_output_are_refused():
    images = keras.Input((6, 6, 3))
    backbone = keras.Model(images, keras.layers.Reshape((36, 3))(images))
    with pytest.raises(ValueError, match=r"must give .* Received: \(None, 36, 3\)"):
        build_encoder(backbone)


def test_what_is_no_backbone_is_refused():
    with pytest.raises(ValueError, match=r"`backbone` must be a Keras model.*: str"):
        build_encoder("resnet18")
