"""The instance classifier's loss, gradient and row updates against float64 NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf import InstanceCrossEntropy, LearnedRows, NonparametricSoftmax

N, DIM, BATCH, TAU = 12, 5, 6, 0.15
MOMENTUM, DECAY, RATE = 0.8, 0.05, 0.3


def make_rows(num_neighbors=0):
    """Rows of any length, which already move, with made-up neighbors."""
    rng = np.random.default_rng(0)
    rows = LearnedRows(
        N, DIM, MOMENTUM, weight_decay=DECAY, num_neighbors=num_neighbors
    )
    rows.write(0, rng.normal(size=(N, DIM)).astype(np.float32))
    velocity = rng.normal(size=(N, DIM)).astype(np.float32) / 10
    rows.velocity.write(0, velocity)
    if num_neighbors:
        others = [np.delete(np.arange(N), i) for i in range(N)]
        chosen = [rng.permutation(other)[:num_neighbors] for other in others]
        rows.neighbors.write(0, np.array(chosen, np.int32))
    return rows


def make_batch():
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(BATCH, DIM))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), rng.permutation(N)[:BATCH]


def raw(rows):
    return rows.numpy().astype(np.float64)


def reference(bank, embeddings, indices, smoothing):
    """Losses, gradients in the embeddings and in w of their mean."""
    w, x = raw(bank.rows), embeddings.astype(np.float64)
    norms = np.linalg.norm(w, axis=1, keepdims=True)
    units = w / norms
    logits = x @ units.T / TAU
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.zeros_like(p)
    y[np.arange(BATCH), indices] = 1 - smoothing
    if smoothing:
        neighbors = raw(bank.neighbors).astype(int)
        for number, index in enumerate(indices):
            y[number, neighbors[index]] += smoothing / neighbors.shape[1]
    losses = -(y * np.log(p)).sum(axis=1)
    of_embeddings = (p - y) @ units / TAU
    of_units = (p - y).T @ x / TAU / BATCH
    along = (of_units * units).sum(axis=1, keepdims=True)
    return losses, of_embeddings, (of_units - along * units) / norms


@pytest.fixture(params=[0.0, 0.2], ids=["plain", "smoothed"])
def smoothing(request):
    return request.param


@pytest.fixture
def bank(smoothing):
    return make_rows(num_neighbors=4 if smoothing else 0)


def loss_and_gradient(loss, bank, embeddings, indices):
    embeddings, indices = tf.constant(embeddings), tf.constant(indices)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        losses = loss(embeddings, indices, bank=bank)
    return losses, tape.gradient(losses, embeddings)


def test_loss_and_gradient_equal_numpy(bank, smoothing):
    batch = make_batch()
    losses, gradient = loss_and_gradient(
        InstanceCrossEntropy(TAU, smoothing), bank, *batch
    )
    expected, of_embeddings, _ = reference(bank, *batch, smoothing)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, of_embeddings, rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", [N, 5], ids=["one_chunk", "chunks_of_5"])
def test_rows_follow_their_gradient_as_sgd_does(bank, smoothing, chunk, monkeypatch):
    monkeypatch.setattr(
        "npid_tf.banks.row_descent.chunk_size", lambda batch, rows: chunk
    )
    loss = InstanceCrossEntropy(TAU, smoothing)
    embeddings, indices = make_batch()
    w, u = raw(bank.rows), raw(bank.velocity)

    @tf.function
    def step():
        losses = loss(embeddings, indices, bank=bank)
        loss.descend(bank, embeddings, indices, losses, tf.constant(RATE))

    for _ in range(3):
        _, _, gradient = reference(bank, embeddings, indices, smoothing)
        u = MOMENTUM * u + gradient + DECAY * w
        w = w - RATE * u
        step()
        np.testing.assert_allclose(raw(bank.velocity), u, rtol=0, atol=1e-5)
        np.testing.assert_allclose(raw(bank.rows), w, rtol=0, atol=1e-5)


def test_fifty_thousand_rows_keep_float32_precision():
    num_rows, dim = 50_000, 128
    bank = LearnedRows(num_rows, dim, seed=2)
    embeddings = tf.math.l2_normalize(tf.random.stateless_normal([16, dim], [1, 2]), 1)
    indices = np.arange(16) * 3000
    losses, gradient = loss_and_gradient(
        InstanceCrossEntropy(TAU), bank, embeddings.numpy(), indices
    )
    units = bank.numpy().astype(np.float64)
    logits = embeddings.numpy().astype(np.float64) @ units.T / TAU
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(losses, -np.log(p[np.arange(16), indices]), rtol=1e-5)
    p[np.arange(16), indices] -= 1
    np.testing.assert_allclose(gradient, p @ units / TAU, rtol=0, atol=1e-5)


def test_equals_the_nonparametric_softmax_on_the_same_rows():
    bank, (embeddings, indices) = make_rows(), make_batch()
    ours, gradient = loss_and_gradient(
        InstanceCrossEntropy(TAU), bank, embeddings, indices
    )
    others, expected = loss_and_gradient(
        NonparametricSoftmax(TAU), bank, embeddings, indices
    )
    np.testing.assert_allclose(ours, others, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"`smoothing` must be in \[0, 1\)"):
        InstanceCrossEntropy(smoothing=smoothing)
