"""The picture of a run."""

import json

import tensorflow as tf

from npid_tf.training.curves import plot_curves


def test_curves_are_a_picture_also_where_some_epochs_lack_knn(tmp_path):
    lines = [
        {"epoch": 1, "loss": 3.0, "learning_rate": 0.1},
        {"epoch": 2, "loss": 2.0, "learning_rate": 0.1, "knn_top1": 0.5},
    ]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plot_curves(str(metrics), str(tmp_path / "curves.png"))
    picture = tf.io.decode_png((tmp_path / "curves.png").read_bytes(), channels=3)
    # Blue of the first color: axes alone are black and white.
    is_blue = (picture[..., 2] > 150) & (picture[..., 0] < 80)
    left, middle, right = tf.split(is_blue, 3, axis=1)
    assert all(tf.reduce_any(part) for part in (left, middle, right))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "curves.png",
        "metrics.jsonl",
    ]
