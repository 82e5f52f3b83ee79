"""The authors' arithmetic as compared with, against the package's, where there is
PyTorch."""

import numpy as np
import pytest
import tensorflow as tf

import npid_tf
from tests.support.vectors import unit_rows

torch = pytest.importorskip("torch")
lemniscate = pytest.importorskip("lemniscate")

TEMPERATURE = 0.07


@pytest.fixture
def batch():
    bank = npid_tf.MemoryBank(50, 8)
    embeddings = unit_rows(4)
    return bank, embeddings, np.array([3, 7, 1, 9])


def test_softmax_is_the_package_s(batch):
    bank, embeddings, indices = batch
    memory = torch.from_numpy(bank.vectors.numpy())
    loss = lemniscate.make_softmax(memory, TEMPERATURE)
    actual = loss(torch.from_numpy(embeddings), torch.from_numpy(indices))
    expected = npid_tf.NonparametricSoftmax(TEMPERATURE)(embeddings, indices, bank=bank)
    np.testing.assert_allclose(actual.item(), tf.reduce_mean(expected), rtol=1e-5)


def test_nce_has_the_gradient_of_its_posterior(batch):
    # (1 / (batch tau)) * (-(1 - h_i) v_i + sum_k h_k v_k), Z the first batch's mean.
    bank, embeddings, indices = batch
    memory = torch.from_numpy(bank.vectors.numpy())
    drawn = lemniscate.draw(torch.from_numpy(indices), 50, 6)
    inputs = torch.from_numpy(embeddings).requires_grad_()
    probabilities = lemniscate.NCE.apply(inputs, memory, drawn, TEMPERATURE, [])
    (gradient,) = torch.autograd.grad(lemniscate.nce_loss(probabilities, 50), inputs)
    rows = bank.vectors.numpy()[drawn.numpy()]  # [batch, 1 + m, dim]
    exponentials = np.exp(np.einsum("bkd,bd->bk", rows, embeddings) / TEMPERATURE)
    p = exponentials / (50 * exponentials.mean())
    h = p / (p + 6 / 50)
    h[:, 0] -= 1
    expected = np.einsum("bk,bkd->bd", h, rows) / (4 * TEMPERATURE)
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_the_update_is_the_package_s(batch):
    bank, embeddings, indices = batch
    memory = torch.from_numpy(bank.vectors.numpy().copy())
    lemniscate.update(memory, torch.from_numpy(indices), torch.from_numpy(embeddings))
    bank.update(indices, embeddings)
    np.testing.assert_allclose(memory.numpy(), bank.vectors.numpy(), atol=1e-6)


def test_the_encoders_have_as_many_weights():
    encoder = npid_tf.build_encoder(
        npid_tf.build_backbone("resnet18_cifar", 32, width=4), 8
    )
    ours = sum(int(np.prod(w.shape)) for w in encoder.trainable_variables)
    theirs = sum(p.numel() for p in lemniscate.Encoder(4, 8).parameters())
    assert ours == theirs
