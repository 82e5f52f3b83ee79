"""Losses by name."""

import pytest

from npid_tf.losses import LOSSES, NEGATIVES, build_loss


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_each_is_made_of_what_is_its_own(name, negatives):
    loss = build_loss(
        name,
        100,
        0.2,
        negatives=negatives,
        num_negatives=8,
        z_decay=0.9,
        smoothing=0.1,
    )
    assert loss.temperature == 0.2
    if hasattr(loss, "negatives"):
        assert type(loss.negatives) is NEGATIVES[negatives]
        assert loss.negatives.num_negatives == 8
    for name, value in (("z_decay", 0.9), ("smoothing", 0.1)):
        assert getattr(loss, name, value) == value


def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(ValueError, match=rf"loss 'x'\. Known: {', '.join(LOSSES)}"):
        build_loss("x", 100, 0.2)
    with pytest.raises(ValueError, match=r"negatives 'x'\. Known: shared, per_sample"):
        build_loss("nce", 100, 0.2, negatives="x")


def test_losses_without_negatives_ask_for_none():
    build_loss("nonparametric_softmax", 10, 0.2, num_negatives=4096)
