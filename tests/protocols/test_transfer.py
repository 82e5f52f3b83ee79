"""Two steps of detection and segmentation, beside an untrained encoder."""

import dataclasses
import json
import os

import numpy as np
import pytest

from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.evaluate import main
from npid_tf.protocols.transfer import TransferFlags, evaluate_detection
from npid_tf.runs import build, data
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.runs.workdir import checkpoint_directory, write_run
from tests.support.given import given
from voc_shapes import write_shapes


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A run whose encoder is as it was first, and a set of shapes."""
    directory = tmp_path_factory.mktemp("transfer")
    write_shapes(directory / "shapes", {"train": 6, "val": 2}, size=40)
    config = TrainFlags(
        workdir=str(directory / "run"),
        split="train[:64]",
        image_size=32,
        backbone="resnet18",
        embedding_dim=8,
        batch_size=32,
    )
    source = data.build_source(config)
    model = build.build_model(config, source.num_instances)
    model.compile()
    checkpoints = checkpoint_directory(config)
    Checkpoints(checkpoints, model, source.fingerprint).save(epoch=1, step=0)
    write_run(config)
    return config


@pytest.fixture(scope="module")
def flags(config):
    return TransferFlags(
        voc_dir=os.path.join(os.path.dirname(config.workdir), "shapes"),
        voc_splits=("train", "val"),
        transfer_size=64,
        transfer_batch_size=2,
        transfer_steps=2,
        transfer_learning_rate=1e-3,
    )


@pytest.mark.parametrize(
    ("protocol", "scores"), [("detection", ["AP", "AP50"]), ("segmentation", ["mIoU"])]
)
def test_two_steps_are_judged_for_both_encoders(config, flags, protocol, scores):
    for module in ("keras_hub", "pycocotools"):
        pytest.importorskip(module, reason="the extra transfer is not installed")
    main(given(flags, workdir=config.workdir, protocol=protocol))
    path = os.path.join(config.workdir, "evaluation", f"{protocol}.json")
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    assert [row["encoder"] for row in rows] == ["trained", "untrained"]
    for row in rows:
        assert list(row) == ["encoder", "steps", "loss", *scores]
        assert np.isfinite(row["loss"]) and row["loss"] > 0
        assert all(0 <= row[score] <= 1 for score in scores)
    # The trained encoder of this run is as it was first, and all else has one seed.
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-3)


@pytest.mark.parametrize("change", [{"voc_dir": None}, {"voc_splits": ("train",)}])
def test_a_folder_and_two_lists_are_asked_for(config, flags, change):
    pytest.importorskip("keras_hub", reason="the extra transfer is not installed")
    with pytest.raises(ValueError, match=r"Pass --voc_dir=DIR.*--voc_splits=trainval"):
        evaluate_detection(config, dataclasses.replace(flags, **change))
