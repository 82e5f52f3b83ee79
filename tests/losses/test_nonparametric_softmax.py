"""The exact softmax against its dense float64 form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import NonparametricSoftmax
from tests.support.losses import assert_close, loss_and_gradient, toy_batch


def dense_softmax(batch, temperature):
    """Eq. 2 with all similarities at once: losses, and their gradient."""
    logits = batch.embeddings.astype(np.float64) @ batch.vectors.T / temperature
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    own = probabilities[np.arange(len(logits)), batch.indices]
    gradient = probabilities @ batch.vectors - batch.vectors[batch.indices]
    return -np.log(own), gradient / temperature


@pytest.mark.parametrize("temperature", [0.02, 0.07, 0.5])
@pytest.mark.parametrize("closeness", [0, 2], ids=["noise", "peaked"])
def test_equals_dense_cross_entropy(temperature, closeness):
    batch = toy_batch(num_instances=40, dim=16, closeness=closeness)
    losses, gradient = loss_and_gradient(NonparametricSoftmax(temperature), batch)
    expected_losses, expected_gradient = dense_softmax(batch, temperature)
    assert_close(losses, expected_losses)
    assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("chunk", [1, 7, 12, 100])
def test_the_chunk_changes_nothing(monkeypatch, chunk):
    module = "npid_tf.losses.one_pass.chunk_size"
    monkeypatch.setattr(module, lambda batch_size, num_rows: chunk)
    batch = toy_batch(num_instances=12)
    losses, gradient = loss_and_gradient(NonparametricSoftmax(), batch)
    expected_losses, expected_gradient = dense_softmax(batch, temperature=0.07)
    assert_close(losses, expected_losses)
    assert_close(gradient, expected_gradient)


def test_each_loss_has_its_own_gradient():
    batch, weights = toy_batch(), np.arange(6, dtype=np.float32)
    embeddings = tf.constant(batch.embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        losses = NonparametricSoftmax()(embeddings, batch.indices, bank=batch.bank)
        weighted = tf.reduce_sum(weights * losses)
    expected = weights[:, None] * dense_softmax(batch, temperature=0.07)[1]
    assert_close(tape.gradient(weighted, embeddings), expected)


def test_the_batch_may_be_unknown_when_traced():
    batch, loss = toy_batch(), NonparametricSoftmax()

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 5], tf.float32),
            tf.TensorSpec([None], tf.int64),
        ]
    )
    def traced(embeddings, indices):
        return loss(embeddings, indices, bank=batch.bank)

    expected = dense_softmax(batch, temperature=0.07)[0]
    assert_close(traced(batch.embeddings, batch.indices), expected)
    assert_close(traced(batch.embeddings[:2], batch.indices[:2]), expected[:2])


def test_equal_rows_make_every_image_equally_likely():
    batch = toy_batch(num_instances=30)
    batch.embeddings[:] = batch.embeddings[0]
    batch.bank.assign(np.tile(batch.embeddings[0], (30, 1)))
    # The lowest temperature has the largest exponentials.
    losses, gradient = loss_and_gradient(NonparametricSoftmax(0.02), batch)
    np.testing.assert_allclose(losses, np.log(30), rtol=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(NonparametricSoftmax(0.3))
    assert keras.saving.deserialize_keras_object(config).temperature == 0.3
