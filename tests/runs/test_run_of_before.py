"""A run that d43bdf2 made is resumed, evaluated, exported and searched.

recorded/d43bdf2/run was written by `python -m npid_tf.train --workdir=runs/old
--split=train[:64] --eval_split=test[:20] --image_size=8 --augmentation=none --width=1
--embedding_dim=4 --loss=nce --num_negatives=8 --epochs=2 --batch_size=32
--schedule=cosine --k=1,3 --export_dir=runs/old/export` of that commit; its newest
checkpoint, flags.cfg and metrics.jsonl are kept.
"""

import pathlib
import shutil

import pytest
import tensorflow as tf

from npid_tf.command_line.given import parse
from npid_tf.command_line.programs import flags_of_all_programs
from npid_tf.data.sources.shipped.digits import load_digits
from npid_tf.errors import UserError
from npid_tf.run import Run
from npid_tf.runs.search import search
from npid_tf.runs.train import train
from npid_tf.runs.workdir import read_flags, read_run
from npid_tf.train import GROUPS, flags_of

RECORDED = pathlib.Path(__file__).parent / "recorded" / "d43bdf2" / "run"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return shutil.copytree(RECORDED, tmp_path_factory.mktemp("old") / "run")


def test_its_flags_are_read_and_those_of_other_programs_passed_over(workdir):
    recorded = read_run(workdir)
    assert (recorded["width"], recorded["k"], recorded["loss"]) == (1, (1, 3), "nce")
    assert recorded["workdir"] == "runs/old"
    assert "export_dir" not in recorded
    elsewhere = read_flags([f"--flagfile={workdir}/flags.cfg"]).elsewhere
    assert elsewhere["export_dir"] == "--export_dir=runs/old/export"


def test_it_is_resumed_by_its_own_flags(workdir, capsys):
    fields = [field for some in GROUPS.values() for field in some]
    words = [f"--flagfile={workdir}/flags.cfg", f"--workdir={workdir}", "--epochs=3"]
    train(*flags_of(parse(words, fields, flags_of_all_programs)))
    assert "Resuming at epoch 3, step 1." in capsys.readouterr().out
    assert (workdir / "run.json").exists()
    newest = max(path.name for path in (workdir / "checkpoints").iterdir())
    assert newest == "000000006"


def test_it_is_evaluated_exported_and_searched(tmp_path):
    workdir = shutil.copytree(RECORDED, tmp_path / "run")
    run = Run(workdir)
    rows = run.evaluate("knn")
    assert {row["k"] for row in rows} == {1, 3}
    manifest = run.export(tmp_path / "export")
    assert (manifest["n"], manifest["recall"]["k"]) == (64, 1)
    path = str(tmp_path / "digit.png")
    tf.io.write_file(path, tf.io.encode_png(load_digits("train").read(7)))
    ((first, *_),), _ = search(str(tmp_path / "export"), [path], 3)
    assert first["id"] == "7"
    assert not (workdir / "run.json").exists()  # Nothing was trained.


def test_what_train_would_ignore_now_is_refused_in_words(workdir):
    with pytest.raises(UserError, match=r"`z_decay` is read with --loss=nce only"):
        Run(workdir).train(loss="sampled_softmax", z_decay=0.9)
