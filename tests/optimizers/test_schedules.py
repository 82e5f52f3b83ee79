"""Learning rates at the first and last steps of their parts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.optimizers.schedules import build_schedule
from npid_tf.runs.build import build_optimizer
from npid_tf.runs.train_flags import TrainFlags


def rates(schedule, num_steps):
    return [float(schedule(step)) for step in range(num_steps)]


def test_step_drops_at_the_first_step_of_each_decay_epoch():
    schedule = build_schedule("step", 0.03, 4, num_epochs=6, decay_epochs=(2, 5))
    expected = [0.03] * 8 + [0.003] * 12 + [0.0003] * 4
    np.testing.assert_allclose(rates(schedule, 24), expected, rtol=1e-5)


def test_step_without_decay_epochs_is_constant():
    schedule = build_schedule("step", 0.03, 4, num_epochs=2)
    np.testing.assert_allclose(rates(schedule, 8), 0.03, rtol=1e-6)


def test_cosine_falls_from_the_peak_to_0():
    schedule = build_schedule("cosine", 0.4, 5, num_epochs=4)
    expected = 0.2 * (1 + np.cos(np.pi * np.arange(21) / 20))
    np.testing.assert_allclose(rates(schedule, 21), expected, atol=1e-6)


def test_warm_up_rises_linearly_to_the_peak():
    schedule = build_schedule("cosine", 0.4, 5, num_epochs=4, warmup_epochs=2)
    rising = 0.04 * np.arange(10)
    falling = 0.2 * (1 + np.cos(np.pi * np.arange(11) / 10))
    np.testing.assert_allclose(rates(schedule, 21), [*rising, *falling], atol=1e-6)


def test_accumulation_does_not_move_the_drop():
    config = TrainFlags(
        epochs=3,
        schedule="step",
        decay_epochs=(1,),
        accumulation_steps=2,
        learning_rate=1.0,
        sgd_momentum=0.0,
    )
    optimizer, weight = build_optimizer(config, 4), keras.Variable(0.0)
    optimizer.build([weight])
    values = []
    for _ in range(8):  # Two epochs of four batches: two updates in each.
        optimizer.apply_gradients([(tf.constant(-1.0), weight)])
        values.append(float(weight))
    np.testing.assert_allclose(values, [0, 1, 1, 2, 2, 2.1, 2.1, 2.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "linear"}, "Unknown schedule 'linear'. Known: cosine, step."),
        (
            {"name": "step", "warmup_epochs": 2},
            "`warmup_epochs` needs the schedule cosine. .*warmup_epochs=2.",
        ),
        (
            {"name": "cosine", "warmup_epochs": 5},
            "less than the epochs of the run. Received: warmup_epochs=5, epochs=5.",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_schedule(learning_rate=0.1, steps_per_epoch=10, num_epochs=5, **arguments)
