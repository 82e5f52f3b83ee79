"""Arguments of Keras's own that layers of the package pass on."""

import keras

from npid_tf.errors import UserError


def in_float32(arguments, advice=""):
    """Arguments of `keras.layers.Layer`, for one that computes in float32 always.

    Under a mixed policy Keras would else pass it half the bits of its inputs.

    Args:
        arguments: dict, of which `dtype` may be float32 or left out.
        advice: what to do instead of passing another one, for the message.

    Raises:
        UserError: for another dtype.
    """
    dtype = arguments.get("dtype") or "float32"
    if keras.dtype_policies.get(dtype).name != "float32":
        raise UserError(f"`dtype` must be float32. Received: {dtype!r}. {advice}")
    return {**arguments, "dtype": "float32"}
