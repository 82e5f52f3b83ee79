"""The one check that all losses share."""

from npid_tf.errors import UserError


def check_temperature(temperature):
    """Returns tau. Raises ValueError where exp(1 / tau) would leave float32."""
    if not temperature >= 0.02:
        raise UserError(
            "`temperature` must be at least .02, since exp(1 / temperature) is summed "
            f"over the bank in float32. Received: {temperature}."
        )
    return temperature
