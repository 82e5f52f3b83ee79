"""AlexNet's lighting: one colour an image, along the principal axes."""

import numpy as np
from scipy.stats import norm

from npid_tf.data.augmentation.lighting import (
    EIGENVALUES,
    EIGENVECTORS,
    random_lighting,
)

PLANES = np.random.default_rng(0).uniform(60, 190, [500, 3, 2, 2]).astype(np.float32)
DRAWS = np.random.default_rng(1).random([500, 3], np.float32)


def test_the_colour_is_a_normal_number_times_each_eigenvector():
    lit = random_lighting(PLANES, DRAWS).numpy()
    change = 255 * 0.1 * norm.ppf(DRAWS) * EIGENVALUES @ EIGENVECTORS.T
    np.testing.assert_allclose(
        lit - PLANES, np.tile(change[:, :, None, None], [1, 1, 2, 2]), atol=1e-3
    )
    # The first axis, near grey, dominates.
    assert 3 < np.std(change) < 4


def test_the_eigenvectors_are_orthonormal():
    np.testing.assert_allclose(EIGENVECTORS.T @ EIGENVECTORS, np.eye(3), atol=1e-3)


def test_values_stay_in_their_range_for_all_draws():
    for draws in (np.zeros([500, 3]), np.full([500, 3], 1 - 2.0**-24)):
        lit = random_lighting(PLANES * 1.3, np.float32(draws)).numpy()
        assert np.isfinite(lit).all() and lit.min() >= 0 and lit.max() <= 255
