"""Skipped steps in closed form, against the steps themselves."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.banks.skipped_updates import skip_updates

ROWS = st.lists(st.tuples(st.integers(0, 300), st.floats(0, 2)), min_size=1, max_size=4)


def explicit(w, u, num_steps, rate, momentum, weight_decay):
    for _ in range(num_steps):
        u = momentum * u + weight_decay * w
        w = w - rate * u
    return w, u


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, momentum=st.floats(0, 0.99), weight_decay=st.floats(0, 0.1))
def test_equals_the_steps_one_after_the_other(rows, momentum, weight_decay):
    rng = np.random.default_rng(0)
    w, u = rng.normal(size=(2, len(rows), 3))
    steps, rates = np.array([t for t, _ in rows]), np.array([rate for _, rate in rows])
    got = skip_updates(
        tf.constant(w), tf.constant(u), steps, rates, momentum, weight_decay
    )
    for row, (num_steps, rate) in enumerate(rows):
        expected = explicit(w[row], u[row], num_steps, rate, momentum, weight_decay)
        for value, wanted in zip(got, expected, strict=True):
            np.testing.assert_allclose(value[row], wanted, rtol=1e-6, atol=1e-6)


def test_no_rows_and_a_million_steps():
    empty = tf.zeros([0, 3])
    nothing = skip_updates(empty, empty, np.zeros(0, int), np.zeros(0), 0.9, 0.1)
    assert [part.shape for part in nothing] == [(0, 3), (0, 3)]
    # Without weight decay, the momentum that is left moves w by m / (1 - m) rate u.
    ones, steps = tf.ones([1, 2]), np.array([10**6])
    w, u = skip_updates(ones, ones, steps, np.array([0.1]), 0.9, 0.0)
    np.testing.assert_allclose(w, [[0.1, 0.1]], atol=1e-6)
    np.testing.assert_allclose(u, [[0, 0]], atol=1e-6)
