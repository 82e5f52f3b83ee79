"""The one check that all losses share."""

from npid_tf.checks.arguments import is_real
from npid_tf.errors import UserError


def check_temperature(temperature):
    """Returns tau, a float. Raises UserError where exp(1 / tau) would leave float32,
    and for what is no finite number."""
    if not is_real(temperature) or not 0.02 <= temperature < float("inf"):
        raise UserError(
            "`temperature` must be at least .02, since exp(1 / temperature) is summed "
            f"over the bank in float32. Received: {temperature!r}."
        )
    return float(temperature)
