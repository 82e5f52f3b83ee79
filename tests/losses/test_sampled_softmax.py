"""The sampled softmax against float64 NumPy, and in its limit of all negatives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import (
    NonparametricSoftmax,
    PerSampleNegatives,
    SampledSoftmax,
    SharedNegatives,
)
from npid_tf.losses.one_pass import sum_over_rows
from tests.support.losses import (
    assert_close,
    drawn_negatives,
    loss_and_gradient,
    toy_batch,
)


class AllOthers:
    """Every row once, the own row among them."""

    def draw(self, queries, indices, bank, seed):
        def sum_over(terms):
            return sum_over_rows(terms, queries, bank.reader(), bank.num_instances)

        return sum_over, tf.ones(len(indices))


def softmax_over(batch, negatives, mask, temperature):
    """Losses and gradient over the positive and the negatives that mask leaves."""
    embeddings = batch.embeddings.astype(np.float64)
    positives = batch.vectors[batch.indices]
    candidates = np.concatenate([positives[:, None], negatives], axis=1)
    kept = np.concatenate([np.ones((len(mask), 1)), mask], axis=1)
    logits = np.einsum("bkd,bd->bk", candidates, embeddings) / temperature
    exponentials = kept * np.exp(logits)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    gradient = np.einsum("bk,bkd->bd", probabilities, candidates) - positives
    return -np.log(probabilities[:, 0]), gradient / temperature


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
    losses, gradient = loss_and_gradient(SampledSoftmax(negatives, 0.1), batch)
    expected_losses, expected_gradient = softmax_over(batch, vectors, mask, 0.1)
    assert_close(losses, expected_losses)
    assert_close(gradient, expected_gradient)


def test_with_all_other_rows_it_is_the_exact_softmax():
    batch = toy_batch(num_instances=30)
    losses, gradient = loss_and_gradient(SampledSoftmax(AllOthers(), 0.07), batch)
    exact_losses, exact_gradient = loss_and_gradient(NonparametricSoftmax(0.07), batch)
    assert_close(losses, exact_losses)
    assert_close(gradient, exact_gradient)


def test_an_image_whose_negatives_are_all_masked_has_nothing_to_learn():
    negatives, batch = SharedNegatives(2, 1), toy_batch(2, batch_size=2)
    _, mask = drawn_negatives(negatives, batch)
    losses, gradient = loss_and_gradient(SampledSoftmax(negatives), batch)
    alone = ~mask[:, 0]
    assert alone.sum() == 1
    np.testing.assert_allclose(losses[alone], 0, atol=1e-6)
    np.testing.assert_allclose(gradient[alone], 0, atol=1e-5)
    assert np.abs(gradient[~alone]).max() > 0


def test_config_round_trip():
    loss = SampledSoftmax(PerSampleNegatives(9, 4), 0.3)
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert again.temperature == 0.3
    assert isinstance(again.negatives, PerSampleNegatives)
    assert again.negatives.get_config() == {"num_instances": 9, "num_negatives": 4}
