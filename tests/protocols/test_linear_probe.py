"""The cached linear protocol on images whose colour is their class."""

import dataclasses

from npid_tf.protocols.linear_probe import evaluate_linear_cached


def test_colors_are_told_apart_by_every_layer(color_config):
    config = dataclasses.replace(color_config, layers=("conv1", "features"))
    rows = evaluate_linear_cached(config)
    assert [(row["encoder"], row["layer"], row["dim"]) for row in rows] == [
        ("trained", "conv1", 256),
        ("trained", "features", 32),
        ("untrained", "conv1", 256),
        ("untrained", "features", 32),
    ]
    assert all(row["top1"] == row["top5"] == 1.0 for row in rows)
