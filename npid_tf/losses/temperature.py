"""The one check that all losses share."""


def check_temperature(temperature):
    """Returns tau. Raises ValueError where exp(2 / tau) would leave float32."""
    if not temperature >= 0.03:
        raise ValueError(
            "`temperature` must be at least .03, since float32 must hold "
            f"exp(2 / temperature) times some thousand. Received: {temperature}."
        )
    return temperature
