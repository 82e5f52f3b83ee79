"""Optimizers by name: SGD, and Muon for the kernels of convolutions as well."""

import keras
from keras import ops

from npid_tf.checks.keras_backend import check_backend
from npid_tf.errors import UserError

check_backend()


@keras.saving.register_keras_serializable("npid_tf")
class Muon(keras.optimizers.Muon):
    """Keras's Muon, where a convolution's kernel is a matrix [h w in, out].

    The momentum of a matrix is replaced by the nearest orthogonal one, so that all its
    directions move alike (Jordan et al. 2024). Vectors, such as biases and batch norm's
    scales, follow Adam. Keras's own leaves kernels to Adam.

    Args: those of `keras.optimizers.Muon`.

    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.

    Example:

    >>> import keras
    >>> from npid_tf import Muon
    >>> model = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Conv2D(4, 3)])
    >>> model.compile(Muon(learning_rate=0.03, momentum=0.9), loss="mse")
    """

    def _should_use_adamw(self, variable):
        return len(variable.shape) not in (2, 4)

    def zeropower_via_newtonschulz5(self, x, steps):
        matrix = ops.reshape(x, [-1, x.shape[-1]])
        matrix = super().zeropower_via_newtonschulz5(matrix, steps)
        return ops.reshape(matrix, x.shape)

    def lr_adjust(self, x):
        matrix = ops.reshape(x, [-1, x.shape[-1]])
        return ops.reshape(super().lr_adjust(matrix), x.shape)


def build_optimizer(name, learning_rate, momentum=0.9, accumulation_steps=1):
    """The optimizer called `name`: sgd or muon, without weight decay of its own.

    Args:
        learning_rate: a number or a Keras schedule.
        momentum: of SGD, or of Muon's matrices.
        accumulation_steps: batches whose gradients one update averages.

    Raises:
        ValueError: for an unknown name.
    """
    accumulation = accumulation_steps if accumulation_steps > 1 else None
    if name == "sgd":
        return keras.optimizers.SGD(
            learning_rate, momentum=momentum, gradient_accumulation_steps=accumulation
        )
    if name == "muon":
        return Muon(
            learning_rate,
            momentum=momentum,
            adam_lr_ratio=ADAM_RATE,
            weight_decay=None,
            adam_weight_decay=None,
            gradient_accumulation_steps=accumulation,
        )
    raise UserError(f"Unknown optimizer {name!r}. Known: sgd, muon.")


# Of the rate for matrices, whose entries move by a fifth of it.
ADAM_RATE = 0.1
