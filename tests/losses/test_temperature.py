"""Temperatures that float32 cannot carry are refused by every loss."""

import pytest

from npid_tf import NCE, NonparametricSoftmax, SampledSoftmax, SharedNegatives

LOSSES = (
    NonparametricSoftmax,
    lambda temperature: NCE(SharedNegatives(10, 4), temperature),
    lambda temperature: SampledSoftmax(SharedNegatives(10, 4), temperature),
)


@pytest.mark.parametrize("make_loss", LOSSES)
@pytest.mark.parametrize("temperature", [0.0199, 0, -0.1, float("nan")])
def test_too_low_a_temperature_is_refused(make_loss, temperature):
    message = f"`temperature` must be at least .02, .* Received: {temperature}"
    with pytest.raises(ValueError, match=message):
        make_loss(temperature)


@pytest.mark.parametrize("make_loss", LOSSES)
def test_the_lowest_temperature_is_taken(make_loss):
    assert make_loss(0.02).temperature == 0.02
