"""Learning rates over the steps of a run: Keras schedules, by name."""

import keras


def build_schedule(
    name, learning_rate, steps_per_epoch, num_epochs, decay_epochs=(), warmup_epochs=0
):
    """A Keras learning-rate schedule.

    Args:
        name: `step` (times .1 at each of decay_epochs, the authors') or `cosine`
            (to 0 at the end).
        learning_rate: the peak.
        steps_per_epoch: updates of the weights in an epoch.
        num_epochs: length of the run.
        decay_epochs: where `step` drops.
        warmup_epochs: epochs in which the rate rises linearly from 0; `cosine` alone.

    Raises:
        ValueError: for an unknown name, or a warm-up of `step`.
    """
    if name == "cosine":
        warmup_steps = warmup_epochs * steps_per_epoch
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else learning_rate,
            decay_steps=num_epochs * steps_per_epoch - warmup_steps,
            warmup_target=learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    if name == "step":
        if warmup_epochs:
            raise ValueError(
                "`warmup_epochs` needs the schedule cosine. Received: schedule=step, "
                f"warmup_epochs={warmup_epochs}."
            )
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [epoch * steps_per_epoch for epoch in decay_epochs],
            [learning_rate * 0.1**drops for drops in range(len(decay_epochs) + 1)],
        )
    raise ValueError(f"Unknown schedule {name!r}. Known: cosine, step.")
