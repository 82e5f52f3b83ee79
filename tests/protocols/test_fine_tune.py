"""Fine-tuning on few labels of images whose colour is their class."""

import dataclasses
import os

import numpy as np
import pytest

from npid_tf.protocols import fine_tune as semi_supervised
from npid_tf.protocols.fine_tune import FineTuneFlags, evaluate_fine_tune, published


def test_colors_are_told_apart_from_one_label_each(color_config, learn_colors):
    config = color_config
    flags = FineTuneFlags(
        **learn_colors,
        label_percents=(5,),
        fine_tune_rates=(0.1,),
        head_multipliers=(10,),
        probe_epochs=60,  # Batch norm's averages of 20 are not there yet on every CPU.
    )
    rows = evaluate_fine_tune(config, flags)
    assert [(row["start"], row["images"]) for row in rows] == [
        ("pre-trained", 3),
        ("from scratch", 3),
    ]
    assert {row["lr"] for row in rows} == {0.1 * 3 / 256}
    assert all(row["top1"] > 0.5 for row in rows)
    directory = os.path.join(config.workdir, "semi_supervised")
    assert sorted(os.listdir(directory)) == ["labels_5_percent.txt", "runs"]
    indices = np.loadtxt(os.path.join(directory, "labels_5_percent.txt"), int)
    assert sorted(indices % 3) == [0, 1, 2]


def test_runs_that_are_done_are_not_done_again(
    color_config, learn_colors, tmp_path, monkeypatch
):
    (tmp_path / "checkpoints").symlink_to(f"{color_config.workdir}/checkpoints")
    config = dataclasses.replace(color_config, workdir=str(tmp_path))
    flags = FineTuneFlags(
        **learn_colors,
        label_percents=(5,),
        fine_tune_rates=(0.1, 0.01),
        head_multipliers=(10,),
    )
    runs = []

    def fine_tune(*arguments):
        if len(runs) == 3:
            raise KeyboardInterrupt
        runs.append(arguments[-4:])
        return {"top1": len(runs) / 8}

    monkeypatch.setattr(semi_supervised, "_fine_tune", fine_tune)
    with pytest.raises(KeyboardInterrupt):
        evaluate_fine_tune(config, flags)
    monkeypatch.setattr(semi_supervised, "_fine_tune", lambda *_: {"top1": 0.5})
    rows = evaluate_fine_tune(config, flags)
    assert [row["top1"] for row in rows] == [1 / 8, 2 / 8, 3 / 8, 0.5]
    assert [(row["start"], row["lr_per_256"]) for row in rows] == [
        (start, rate)
        for start in ("pre-trained", "from scratch")
        for rate in (0.1, 0.01)
    ]
    # Other flags, other runs; the kept ones stay.
    monkeypatch.setattr(semi_supervised, "_fine_tune", lambda *_: {"top1": 1.0})
    longer = dataclasses.replace(flags, probe_epochs=3)
    assert {row["top1"] for row in evaluate_fine_tune(config, longer)} == {1.0}
    assert evaluate_fine_tune(config, flags) == rows


def test_percents_out_of_range_are_refused(color_config):
    flags = FineTuneFlags(label_percents=(1, 101))
    with pytest.raises(ValueError, match=r"`label_percents` must .*Received: 101"):
        evaluate_fine_tune(color_config, flags)


def test_the_page_has_the_best_of_each_start_and_says_how_it_was_chosen():
    rows = [
        {"labels": "1 %", "start": start, "top1": top1}
        for start, top1 in [
            ("pre-trained", 0.2),
            ("pre-trained", 0.4),
            ("from scratch", 0.3),
            ("from scratch", 0.1),
        ]
    ]
    assert published(rows) == [
        {
            "Labels": "1 %",
            "Pre-trained": "40.00",
            "From scratch": "30.00",
            "Best of": "2 runs each, by test accuracy",
        }
    ]
