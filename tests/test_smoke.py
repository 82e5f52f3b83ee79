"""The whole road on configs/smoke.cfg: train, evaluate, export, search."""

import dataclasses
import json
import os
import pathlib

import pytest
import tensorflow as tf

from npid_tf import evaluate, export, train
from npid_tf.data.sources.digits import load_digits
from npid_tf.search import __main__ as search

SMOKE = pathlib.Path(__file__).resolve().parent.parent / "configs" / "smoke.cfg"


@pytest.mark.parametrize(
    "flags",
    [[], ["--loss=instance_classifier", "--label_smoothing=.2", "--proximal_weight=0"]],
    ids=["nce", "classifier"],
)
def test_smoke_config_runs_from_images_to_neighbors(parse, tmp_path, capsys, flags):
    config = parse(
        f"--flagfile={SMOKE}",
        *flags,
        f"--workdir={tmp_path / 'run'}",
        f"--export_dir={tmp_path / 'export'}",
    )
    image = tmp_path / "digit.png"
    image.write_bytes(tf.io.encode_png(load_digits("train").read(7)).numpy())

    train.main(config, [])
    evaluate.main(config, [])
    export.main(config, [])
    capsys.readouterr()
    gallery = str(tmp_path / "neighbors.html")
    search.main(dataclasses.replace(config, gallery=gallery), [str(image)])

    with open(tmp_path / "run" / "evaluation" / "knn.json") as file:
        assert {row["k"] for row in json.load(file)["rows"]} == {1, 5, 20}
    _, _, nearest, *others = capsys.readouterr().out.splitlines()
    assert nearest.startswith("7 ")  # The image itself.
    assert len(others) == 4 + 2  # Of k=5, how they were found, where the gallery is.
    assert os.path.getsize(gallery) > 0
