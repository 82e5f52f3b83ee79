"""NCE and its Z against float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import NCE, PerSampleNegatives, SharedNegatives
from tests.support.losses import (
    assert_close,
    drawn_negatives,
    loss_and_gradient,
    toy_batch,
)


def noise_contrastive(batch, negatives, mask, temperature, z, num_instances=12):
    """Eqs. 4-7: losses, and their gradient for a constant Z.

    The authors' code adds 1e-7 to the denominators, against 0 / 0 that logarithms do
    not meet; it is left out here and in the package.
    """
    embeddings = batch.embeddings.astype(np.float64)
    positives = batch.vectors[batch.indices]
    noise = mask.shape[1] / num_instances  # m P_n

    def posterior(vectors):
        similarities = np.einsum("b...d,bd->b...", vectors, embeddings)
        p = np.exp(similarities / temperature) / z
        return p / (p + noise)

    of_data, of_noise = posterior(positives), posterior(negatives) * mask
    losses = -np.log(of_data) - np.log(1 - of_noise).sum(axis=1)
    gradient = np.einsum("bk,bkd->bd", of_noise, negatives)
    gradient -= (1 - of_data)[:, None] * positives
    return losses, gradient / temperature


def estimate_of_z(batch, negatives, mask, temperature, num_instances=12):
    embeddings = batch.embeddings.astype(np.float64)
    positives = np.exp((embeddings * batch.vectors[batch.indices]).sum(1) / temperature)
    negatives = np.exp(np.einsum("bkd,bd->bk", negatives, embeddings) / temperature)
    return num_instances * np.concatenate([positives, negatives[mask]]).mean()


@pytest.mark.parametrize("make_negatives", [SharedNegatives, PerSampleNegatives])
@pytest.mark.parametrize("closeness", [0, 2], ids=["noise", "peaked"])
def test_equals_numpy(
    make_negatives,
    closeness,
):
    negatives, batch = make_negatives(12, 11), toy_batch(closeness=closeness)
    vectors, mask = drawn_negatives(negatives, batch)
    if make_negatives is SharedNegatives:
        assert not mask.all()  # Some image has drawn its own row.
    assert len(np.unique(vectors[0], axis=0)) < 11  # Some row is drawn twice.
    loss = NCE(negatives, 0.1)
    losses, gradient = loss_and_gradient(loss, batch)
    z = estimate_of_z(batch, vectors, mask, 0.1)
    expected_losses, expected_gradient = noise_contrastive(batch, vectors, mask, 0.1, z)
    np.testing.assert_allclose(loss.z.numpy(), z, rtol=1e-5)
    assert_close(losses, expected_losses)
    assert_close(gradient, expected_gradient)


def test_z_of_a_random_bank_is_2_20_n():
    num_instances = 20_000
    batch = toy_batch(num_instances, dim=128, batch_size=64)
    loss = NCE(SharedNegatives(num_instances, 4096), temperature=0.07)
    loss_and_gradient(loss, batch)
    np.testing.assert_allclose(loss.z.numpy() / num_instances, 2.20, rtol=0.03)


def test_z_of_the_first_batch_is_kept():
    negatives, batch = SharedNegatives(12, 8), toy_batch()
    loss = NCE(negatives, 0.1)
    loss_and_gradient(loss, batch, seed=(0, 1))
    z = loss.z.numpy()
    batch.embeddings = -batch.embeddings
    losses, _ = loss_and_gradient(loss, batch, seed=(0, 2))
    assert loss.z.numpy() == z
    vectors, mask = drawn_negatives(negatives, batch, seed=(0, 2))
    assert_close(losses, noise_contrastive(batch, vectors, mask, 0.1, z)[0])


def test_z_decay_makes_a_moving_average():
    negatives, batch = SharedNegatives(12, 8), toy_batch()
    loss = NCE(negatives, 0.1, z_decay=0.8)
    z = None
    for step in range(3):
        losses, _ = loss_and_gradient(loss, batch, seed=(0, step))
        vectors, mask = drawn_negatives(negatives, batch, seed=(0, step))
        estimate = estimate_of_z(batch, vectors, mask, 0.1)
        z = estimate if z is None else 0.8 * z + 0.2 * estimate
        np.testing.assert_allclose(loss.z.numpy(), z, rtol=1e-5)
        assert_close(losses, noise_contrastive(batch, vectors, mask, 0.1, z)[0])


@pytest.mark.parametrize("z_decay", [None, 0.5])
def test_z_stays_outside_training(z_decay):
    loss, batch = NCE(SharedNegatives(12, 8), 0.1, z_decay), toy_batch()

    def evaluate(step):
        seed = tf.constant([0, step], tf.int64)
        losses = loss(
            batch.embeddings, batch.indices, bank=batch.bank, seed=seed, training=False
        )
        assert np.isfinite(losses).all()
        return loss.z.numpy()

    assert evaluate(step=0) == 0
    loss_and_gradient(loss, batch, seed=(0, 1))
    trained = loss.z.numpy()
    assert trained > 0
    assert evaluate(step=2) == trained


def test_the_lowest_temperature_stays_finite():
    # Rows that are all alike give every term its largest exponential, e^50.
    loss, batch = NCE(SharedNegatives(12, 11), 0.02), toy_batch()
    batch.bank.assign(np.tile(batch.embeddings[0], (12, 1)))
    batch.embeddings[3:] = -batch.embeddings[0]
    losses, gradient = loss_and_gradient(loss, batch)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()


def test_config_round_trip():
    loss = NCE(SharedNegatives(9, 4), 0.3, z_decay=0.9)
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert (again.temperature, again.z_decay) == (0.3, 0.9)
    assert isinstance(again.negatives, SharedNegatives)
    assert again.negatives.get_config() == {"num_instances": 9, "num_negatives": 4}


@pytest.mark.parametrize("z_decay", [-0.1, 1.0])
def test_wrong_decays_are_refused(z_decay):
    message = rf"`z_decay` must be in \[0, 1\). Received: {z_decay}"
    with pytest.raises(ValueError, match=message):
        NCE(SharedNegatives(9, 4), z_decay=z_decay)
