"""The cached linear protocol on images whose colour is their class."""

from npid_tf.protocols.labelled import LayerFlags
from npid_tf.protocols.linear_probe import evaluate_linear_probe


def test_colors_are_told_apart_by_every_layer(color_config, learn_colors):
    flags = LayerFlags(**learn_colors, layers=("conv1", "features"))
    rows = evaluate_linear_probe(color_config, flags)
    assert [(row["encoder"], row["layer"], row["dim"]) for row in rows] == [
        ("trained", "conv1", 256),
        ("trained", "features", 32),
        ("untrained", "conv1", 256),
        ("untrained", "features", 32),
    ]
    assert all(row["top1"] == row["top5"] == 1.0 for row in rows)
