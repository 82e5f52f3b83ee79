"""Muon, which orthogonalizes momentum, for the kernels of convolutions as well."""

import keras
from keras import ops

from npid_tf.checks.keras_backend import check_backend

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
