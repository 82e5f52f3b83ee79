"""The whole road on configs/smoke.cfg, by the command `npid` in processes of its own:
train, evaluate, export, search."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from npid_tf.data.sources.shipped.digits import load_digits

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


def npid(*words, cwd=REPOSITORY):
    code = "from npid_tf.command_line.npid import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


CLASSIFIER = ["--loss=instance_classifier", "--label_smoothing=.2"]
CLASSIFIER += ["--proximal_weight=0", "--num_negatives=4096", "--z_decay="]


@pytest.mark.parametrize(
    "flags", [[], pytest.param(CLASSIFIER, marks=pytest.mark.slow)]
)
def test_smoke_config_runs_from_images_to_neighbors(tmp_path, flags):
    image = tmp_path / "digit.png"
    image.write_bytes(tf.io.encode_png(load_digits("train").read(7)).numpy())
    run, export_dir = tmp_path / "run", tmp_path / "export"
    gallery = tmp_path / "neighbors.html"
    # As before there was `npid`, and from another folder than the repository's.
    npid("train", f"--flagfile={REPOSITORY}/configs/smoke.cfg", *flags,
         f"--workdir={run}", cwd=tmp_path)  # fmt: skip
    npid("evaluate", f"--flagfile={run}/flags.cfg")
    npid("export", run, f"--export_dir={export_dir}")
    shown = npid("search", f"--export_dir={export_dir}", image, "--k=5",
                 f"--gallery={gallery}")  # fmt: skip

    with open(tmp_path / "run" / "evaluation" / "knn.json") as file:
        assert {row["k"] for row in json.load(file)["rows"]} == {1, 5, 20}
    _, _, nearest, *others = shown.splitlines()
    assert nearest.startswith("7 ")  # The image itself.
    assert len(others) == 4 + 2  # Of k=5, how they were found, where the gallery is.
    assert os.path.getsize(gallery) > 0
