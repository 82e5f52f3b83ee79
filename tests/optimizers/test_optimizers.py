"""Muon's updates against NumPy, and what is refused."""

import keras
import numpy as np
import pytest

from npid_tf.optimizers import Muon, build_optimizer


def orthogonalized(matrix):
    """By Keras's five steps, in float64: singular values become about 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / np.linalg.norm(x)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 8, 4), (6, 5)])
def test_a_kernel_moves_as_its_matrix(shape):
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape).astype(np.float32)
    variable = keras.Variable(start)
    optimizer = build_optimizer("muon", 0.1, momentum=0.8)
    expected, momentum = start.astype(np.float64), np.zeros(shape)
    for _ in range(3):
        gradient = rng.normal(size=shape).astype(np.float32)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        momentum = 0.8 * momentum + gradient
        matrix = (gradient + 0.8 * momentum).reshape(-1, shape[-1])
        step = 0.1 * 0.2 * max(matrix.shape) ** 0.5 * orthogonalized(matrix)
        expected -= step.reshape(shape)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=0, atol=1e-4)
    moved = (variable.numpy() - start).reshape(-1, shape[-1])
    values = np.linalg.svd(moved, compute_uv=False)
    assert values.max() / values.min() < 20  # All directions move.


def test_vectors_follow_adam():
    variable = keras.Variable(np.zeros(3, np.float32))
    optimizer = build_optimizer("muon", 0.1)
    gradient = keras.ops.convert_to_tensor(np.array([5.0, -1.0, 0.01], np.float32))
    optimizer.apply([gradient], [variable])
    # Adam's first step is the sign times its rate, a tenth of the matrices'.
    np.testing.assert_allclose(variable.numpy(), [-0.01, 0.01, -0.01], rtol=1e-3)


def test_muon_is_saved_with_a_model(tmp_path):
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
    model.compile(build_optimizer("muon", 0.1, momentum=0.7), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert type(loaded) is Muon
    assert loaded.momentum == 0.7


def test_an_unknown_optimizer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown optimizer 'typo'. Known: sgd, muon"):
        build_optimizer("typo", 0.1)
