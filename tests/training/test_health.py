"""The health line of a run, on banks whose state is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import npid_tf
from npid_tf.training.health import Health
from tests.support.vectors import unit_rows


@pytest.fixture
def health_of():
    """The logs of an epoch's end for a bank of the given vectors."""

    def make(vectors, embeddings):
        count, dim = vectors.shape
        encoder = keras.Sequential([keras.Input([dim]), keras.layers.Identity()])
        bank = npid_tf.MemoryBank(count, dim)
        bank.assign(vectors)
        model = npid_tf.NPID(encoder, bank, npid_tf.NonparametricSoftmax(0.1))
        images = (np.asarray(embeddings, np.float32), np.arange(len(embeddings)))
        callback = Health(tf.data.Dataset.from_tensor_slices(images).batch(64))
        callback.set_model(model)
        logs = {}
        callback.on_epoch_end(0, logs)
        return logs

    return make


def test_embeddings_on_their_rows_are_in_perfect_health(health_of, capsys):
    vectors = unit_rows(3000, 64, seed=0)
    logs = health_of(vectors, vectors)
    assert logs["alignment"] == pytest.approx(0, abs=1e-6)
    assert logs["positive_rank"] == 1
    assert logs["uniformity"] == pytest.approx(-4 + 8 / 64, abs=0.05)
    assert "collapsed" not in capsys.readouterr().out


def test_ranks_and_distances_equal_numpy(health_of):
    rng = np.random.default_rng(1)
    vectors, embeddings = unit_rows(200, 8, seed=rng), unit_rows(200, 8, seed=rng)
    logs = health_of(vectors, embeddings)
    scores = embeddings.astype(np.float64) @ vectors.T
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    assert logs["positive_rank"] == pytest.approx(ranks.mean(), abs=0.02)
    distances = np.square(vectors - embeddings).sum(axis=1)
    assert logs["alignment"] == pytest.approx(distances.mean(), rel=1e-5)


def test_collapsed_rows_raise_the_alarm(health_of, capsys):
    vectors = (
        np.full([300, 8], 1.0) + np.random.default_rng(2).normal(size=[300, 8]) / 9
    )
    logs = health_of(vectors, unit_rows(300, 8, seed=3))
    assert logs["uniformity"] > -0.5
    assert "Warning: the rows of the bank have collapsed" in capsys.readouterr().out
