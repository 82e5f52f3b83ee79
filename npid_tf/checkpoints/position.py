"""Where a run goes on, also with batches of another size, or other images, than before.

The order of an epoch's images does not depend on the batch size, so images are what
a position keeps: the run goes on after those that it has seen of the epoch, rounded
down to whole batches of the new size, and its schedule at the same part of the run.
With other images an epoch has another order: the one that was interrupted begins again.
"""

import dataclasses

from npid_tf.data.pipeline import steps_per_epoch
from npid_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run goes on: at `step` of `epoch`, with the epoch's losses so far."""

    epoch: int = 0
    step: int = 0
    loss_tracker: tuple[float, ...] = (0.0, 0.0)  # sum and count
    batch_size: int | None = None  # images of a step; None: not recorded


def in_batches_of(batch_size, position, num_instances, model):
    """The `Position` in steps of `batch_size` images.

    Where that is another size than before, the optimizer's count of batches is set to
    the same part of the run, and all of this is printed.

    Raises UserError where the step is past the end of an epoch, of a checkpoint that
    does not tell its batch size.
    """
    steps = steps_per_epoch(num_instances, batch_size)
    before = _steps_before(position, num_instances, int(model.step.numpy()))
    if batch_size == position.batch_size or (
        position.batch_size is None and before in (steps, None)
    ):
        if position.step >= steps:
            raise UserError(
                f"The checkpoint is of step {position.step} of an epoch, which has "
                f"{steps} steps with --batch_size={batch_size}, and does not tell with "
                "which it was written: pass that one."
            )
        return position
    seen = position.step * (position.batch_size or num_instances // before)
    epoch, step = position.epoch, seen // batch_size
    if step >= steps:  # Fewer images are left than a batch.
        epoch, step = epoch + 1, 0
    _rescale(model.optimizer, steps / before, epoch * steps + step)
    again = seen - step * batch_size if epoch == position.epoch else 0
    print(
        f"Batches are of {batch_size} images, before of "
        f"{position.batch_size or 'another number'}: the run goes on after {seen:,} "
        f"images of epoch {position.epoch + 1}"
        + (f", the last {again:,} of which it sees again" if again else "")
        + ", and the schedule at the same part of the run.",
        flush=True,
    )
    tracker = position.loss_tracker if step else (0.0, 0.0)
    return Position(epoch, step, tracker, batch_size)


def among_other_images(position, num_before, num_instances, batch_size, model):
    """The `Position` where images have come or gone since it was saved.

    At the beginning of its epoch, with the optimizer's count of batches at the same
    part of the run. num_before: how many images there were.
    """
    before = _steps_before(position, num_before, int(model.step.numpy()))
    steps = steps_per_epoch(num_instances, batch_size)
    if position.step or before != steps:
        _rescale(model.optimizer, steps / (before or steps), position.epoch * steps)
    if position.step:
        print(f"Epoch {position.epoch + 1} begins again, with the images that are "
              "there now.", flush=True)  # fmt: skip
    return Position(position.epoch, batch_size=batch_size)


def _steps_before(position, num_instances, total):
    """Steps of an epoch as the checkpoint counts them; None where nothing tells.

    total: steps of the whole run, which tell where it is of before formats.
    """
    if position.batch_size is not None:
        return steps_per_epoch(num_instances, position.batch_size)
    if position.epoch == 0:
        return None
    return max(1, (total - position.step) // position.epoch)


def _rescale(optimizer, ratio, most):
    """Sets the count of batches that the schedule reads to `ratio` times itself.

    most: batches that lie before the position, which it must not be ahead of.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    count = min(round(int(inner._iterations.numpy()) * ratio), most)
    accumulated = inner.gradient_accumulation_steps or 1
    inner._iterations.assign(count // accumulated * accumulated)
    for gradient in getattr(inner, "_accumulated_gradients", ()):
        gradient.assign(gradient * 0)  # Of batches that the new count leaves out.
