"""Optimizers by name. To add one: a function here, or a file, and a line in
`OPTIMIZERS`."""

from collections.abc import Callable

import keras

from npid_tf.checks.arguments import one_of
from npid_tf.optimizers.muon import Muon

__all__ = ["OPTIMIZERS", "Muon", "build_optimizer"]

# Of the rate for matrices, whose entries move by a fifth of it.
ADAM_RATE = 0.1


def _muon(learning_rate, **arguments):
    return Muon(
        learning_rate,
        adam_lr_ratio=ADAM_RATE,
        weight_decay=None,
        adam_weight_decay=None,
        **arguments,
    )


# Functions of a learning rate, `momentum` and `gradient_accumulation_steps`.
OPTIMIZERS: dict[str, Callable] = {"sgd": keras.optimizers.SGD, "muon": _muon}


def build_optimizer(
    name: str, learning_rate, *, momentum: float = 0.9, accumulation_steps: int = 1
) -> keras.optimizers.Optimizer:
    """The optimizer called `name`, without weight decay of its own.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: a number or a Keras schedule.
        momentum: of SGD, or of Muon's matrices.
        accumulation_steps: batches whose gradients one update averages.

    Raises:
        UserError: for an unknown name.

    Example:

    >>> from npid_tf.optimizers import build_optimizer
    >>> build_optimizer("sgd", 0.03, momentum=0.9).name
    'sgd'
    """
    return OPTIMIZERS[one_of("optimizer", name, OPTIMIZERS)](
        learning_rate,
        momentum=momentum,
        gradient_accumulation_steps=(
            accumulation_steps if accumulation_steps > 1 else None
        ),
    )
