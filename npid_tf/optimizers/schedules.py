"""Learning rates over the steps of a run: Keras schedules, by name. To add one: a
function, and a line in `SCHEDULES`."""

from collections.abc import Callable

import keras

from npid_tf.checks.arguments import one_of
from npid_tf.errors import UserError


def _cosine(learning_rate, steps_per_epoch, *, num_epochs, warmup_epochs, **_):
    """To 0 at the end of the run."""
    if warmup_epochs >= num_epochs:
        raise UserError(
            "`warmup_epochs` must be less than the epochs of the run. Received: "
            f"warmup_epochs={warmup_epochs}, epochs={num_epochs}."
        )
    warmup_steps = warmup_epochs * steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=num_epochs * steps_per_epoch - warmup_steps,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def _step(learning_rate, steps_per_epoch, *, decay_epochs, warmup_epochs, drop, **_):
    """Times `drop` at each of decay_epochs, as in the authors' code."""
    if warmup_epochs:
        raise UserError(
            "`warmup_epochs` needs the schedule cosine. Received: schedule=step, "
            f"warmup_epochs={warmup_epochs}."
        )
    # Keras's boundaries are the last steps of a rate, and it wants one at least: the
    # step -1 is before the run.
    last_steps = [epoch * steps_per_epoch - 1 for epoch in sorted(decay_epochs)]
    rates = [learning_rate * drop**drops for drops in range(len(decay_epochs) + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [-1, *last_steps], [learning_rate, *rates]
    )


SCHEDULES: dict[str, Callable] = {"cosine": _cosine, "step": _step}


def build_schedule(
    name: str,
    learning_rate: float,
    steps_per_epoch: int,
    *,
    num_epochs: int,
    decay_epochs: tuple[int, ...] = (),
    warmup_epochs: int = 0,
    drop: float = 0.1,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A Keras learning-rate schedule.

    Args:
        name: `step` (times `drop` at each of decay_epochs, the authors') or `cosine`
            (to 0 at the end).
        learning_rate: the peak.
        steps_per_epoch: batches in an epoch. Keras's schedules count batches, also
            where an optimizer accumulates the gradients of several.
        num_epochs: length of the run.
        decay_epochs: where `step` drops.
        warmup_epochs: epochs in which the rate rises linearly from 0; `cosine` alone.

    Raises:
        UserError: for an unknown name, a warm-up of `step`, or one without an end.

    Example:

    >>> from npid_tf.optimizers.schedules import build_schedule
    >>> schedule = build_schedule("cosine", 0.03, 100, num_epochs=10)
    >>> float(schedule(1000))
    0.0
    """
    return SCHEDULES[one_of("schedule", name, SCHEDULES)](
        learning_rate,
        steps_per_epoch,
        num_epochs=num_epochs,
        decay_epochs=decay_epochs,
        warmup_epochs=warmup_epochs,
        drop=drop,
    )
