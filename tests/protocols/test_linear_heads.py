"""The linear protocol on images whose colour is their class."""

import pytest

from npid_tf.protocols import linear_heads as linear
from npid_tf.protocols.linear_heads import (
    LinearHeadsFlags,
    evaluate_linear_heads,
    published,
)


def test_colors_are_told_apart_and_the_rate_follows_the_batch(
    color_config, learn_colors
):
    flags = LinearHeadsFlags(
        **learn_colors, linear_preset="multihead", probe_epochs=12, probe_batch_size=20
    )
    rows = evaluate_linear_heads(color_config, flags)
    assert [row["layer"] for row in rows] == [
        "conv1", "conv2", "conv3", "conv4", "conv5", "features"
    ]  # fmt: skip
    assert {row["lr_per_256"] for row in rows} == {0.01}
    assert {row["lr"] for row in rows} == {0.01 * 20 / 256}
    assert rows[0]["top1"] == 1.0


def test_an_encoder_that_changes_is_told(color_config, learn_colors, monkeypatch):
    flags = LinearHeadsFlags(
        **learn_colors, linear_preset="avgpool", probe_epochs=1, probe_batch_size=60
    )

    def train_all(model, *arguments, **losses):
        weight = model.weights[0]
        weight.assign(weight + 1.0)

    monkeypatch.setattr(linear, "train_classifier", train_all)
    with pytest.raises(RuntimeError, match="frozen encoder changed"):
        evaluate_linear_heads(color_config, flags)


def test_the_page_has_a_column_for_each_layer():
    rows = [{"layer": "conv1", "top1": 0.1468}, {"layer": "features", "top1": 0.5797}]
    assert published(rows) == [{"Feature1": "14.68", "AvgPool": "57.97"}]
