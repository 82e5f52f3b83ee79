"""Evaluation of a trained run: what it reports, writes and refuses."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from npid_tf import evaluate
from npid_tf.command_line.given import parse
from npid_tf.errors import UserError
from npid_tf.evaluate import main, protocol_of
from npid_tf.protocols import PROTOCOLS
from npid_tf.protocols.knn import KnnFlags
from npid_tf.protocols.labelled import LayerFlags
from npid_tf.protocols.linear_heads import LinearHeadsFlags
from npid_tf.protocols.low_shot import LowShotFlags
from npid_tf.protocols.results import (
    all_tables,
    results_name,
    table_lines,
    write_results,
)
from npid_tf.runs import build, data
from tests.support.given import given

KNN = KnnFlags(k=(5, 10))
FEATURES = [
    "bank as trained",
    "refreshed embeddings",
    "backbone features",
    "untrained encoder",
    "raw pixels",
    "raw pixels less their mean",
]


@pytest.fixture(scope="module")
def config(trained_workdir):
    return dataclasses.replace(trained_workdir, eval_split="test[:60]")


@pytest.fixture(scope="module")
def evaluated(config):
    """A model as trained, its variables before it was evaluated, and what was
    printed."""
    model, rows = build.load_with_rows(config, data.build_source(config))
    before = [variable.numpy() for variable in model.variables]
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(build, "load_with_rows", lambda *arguments: (model, rows))
        main(given(workdir=config.workdir, eval_split=config.eval_split))
    return model, before, printed.getvalue()


def test_the_results_hold_every_feature_and_k(config, evaluated):
    directory = os.path.join(config.workdir, "evaluation")
    with open(os.path.join(directory, "knn.json"), encoding="utf-8") as file:
        results = json.load(file)
    # Other protocols have written there as well.
    names = [name for name in os.listdir(directory) if name.startswith("knn")]
    assert sorted(names) == ["knn.json", "knn.md"]
    assert results["dataset"] == "digits"
    assert results["checkpoint"] == "000000004"  # 256 images in batches of 64
    assert results["settings"] == json.loads(
        json.dumps({**config.told(), **KNN.told()})
    )
    assert results["versions"].keys() == {"tensorflow", "keras", "scikit-learn"}
    rows = results["rows"]
    assert [(row["feature"], row["k"]) for row in rows] == [
        (feature, k) for feature in FEATURES for k in (1, 5, 10)
    ]
    assert all(0 <= row["top1"] <= row["top5"] <= 1 for row in rows)
    # Digits are so alike that their pixels do well: a sign that rows meet labels.
    assert all(row["top1"] > 0.8 for row in rows if "pixels" in row["feature"])


def test_the_table_holds_every_feature_and_k(config, evaluated):
    *printed, last = evaluated[2].splitlines()
    lines = [line for line in printed if line.startswith("|")]
    cells = [re.findall(r"[^| ][^|]*[^| ]|[^| ]", line) for line in lines]
    assert cells[0] == ["feature", "k=1", "k=5", "k=10"]
    assert [row[0] for row in cells[2:]] == list(FEATURES)  # One table, no other.
    assert last.endswith(os.path.join(config.workdir, "evaluation", "knn.json"))


def test_the_table_is_written_as_well(config, evaluated):
    path = os.path.join(config.workdir, "evaluation", "knn.md")
    with open(path, encoding="utf-8") as file:
        title, _, *lines = file.read().splitlines()
    assert title == f"# knn: {config.workdir}, checkpoint 000000004"
    printed = evaluated[2].splitlines()
    tables = [line for line in lines if line]
    first = [line for line in printed if line.startswith("|")]
    assert tables[: len(first)] == first
    # Then all rows, with what the printed table has no room for.
    cells = [re.findall(r"[^| ][^|]*[^| ]|[^| ]", line) for line in tables]
    cells = cells[len(first) :]
    assert cells[0] == ["feature", "k", "temperature", "top1", "top5"]
    assert [(row[0], int(row[1])) for row in cells[2:]] == [
        (feature, k) for feature in FEATURES for k in (1, 5, 10)
    ]


def test_a_protocol_of_mmselfsups_page_has_its_table_printed_and_all_rows_kept():
    rows = [{"layer": "conv4", "top1": 0.5}, {"layer": "conv5", "top1": 2.5e-5}]
    printed = [
        "| Best Layer | SVM   |",
        "| ---------- | ----- |",
        "| conv4      | 50.00 |",
    ]
    assert table_lines(PROTOCOLS["svm"], rows) == printed
    assert all_tables(PROTOCOLS["svm"], rows) == [
        *printed,
        "",
        "| layer | top1    |",
        "| ----- | ------- |",
        "| conv4 | 0.5000  |",
        "| conv5 | 2.5e-05 |",
    ]


def test_evaluation_changes_neither_bank_nor_weights(evaluated):
    model, before, _ = evaluated
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_results_replace_earlier_ones_whole(config, tmp_path):
    config = dataclasses.replace(config, workdir=str(tmp_path))
    rows = [{"feature": "raw pixels", "k": 1, "top1": 0.25}]
    path = write_results(config, PROTOCOLS["knn"], KNN, rows)
    with pytest.raises(TypeError):
        write_results(config, PROTOCOLS["knn"], KNN, [{"feature": object()}])
    with open(path, encoding="utf-8") as file:
        assert json.load(file)["rows"] == [
            {"feature": "raw pixels", "k": 1, "top1": 0.25}
        ]


def test_presets_keep_their_results_beside_each_other(config, tmp_path):
    for number, preset in enumerate((None, "paper", "mmselfsup")):
        changed = dataclasses.replace(config, workdir=str(tmp_path))
        flags = KnnFlags(knn_preset=preset)
        rows = [{"feature": "bank", "k": 1, "top1": number / 4}]
        write_results(changed, PROTOCOLS["knn"], flags, rows)
    scores = {
        path.name: json.loads(path.read_text())["rows"][0]["top1"]
        for path in (tmp_path / "evaluation").glob("*.json")
    }
    assert scores == {"knn.json": 0, "knn_paper.json": 0.25, "knn_mmselfsup.json": 0.5}
    title = (tmp_path / "evaluation" / "knn_paper.md").read_text().splitlines()[0]
    assert title == f"# knn_paper: {tmp_path}, checkpoint None"


@pytest.mark.parametrize(
    ("protocol", "flags", "name"),
    [
        ("linear_heads", LinearHeadsFlags(), "linear_heads_multihead"),
        (
            "linear_heads",
            LinearHeadsFlags(linear_preset="avgpool"),
            "linear_heads_avgpool",
        ),
        ("low_shot", LowShotFlags(lowshot_cost="test"), "low_shot_test"),
        ("svm", LayerFlags(), "svm"),
    ],
)
def test_only_the_preset_of_the_protocol_is_in_the_name(protocol, flags, name):
    assert results_name(PROTOCOLS[protocol], flags) == name


def test_an_unknown_protocol_is_refused_with_the_known_ones(config):
    with pytest.raises(UserError, match=r"Unknown protocol 'typo'. Known: knn"):
        main(given(workdir=config.workdir, protocol="typo"))


@pytest.mark.parametrize("name", ["linear_cached", "linear", "lowshot"])
def test_the_former_names_of_protocols_are_understood(name):
    protocol, _ = protocol_of(given(protocol=name), {})
    expected = {
        "linear_cached": "linear_probe",
        "linear": "linear_heads",
        "lowshot": "low_shot",
    }
    assert protocol.name == expected[name]


def test_a_flag_of_another_protocol_is_refused_on_the_line_and_not_in_a_file():
    words = ["--protocol=knn", "--layers=conv1"]
    fields = [field for some in evaluate.GROUPS.values() for field in some]
    with pytest.raises(UserError, match=r"`layers` .*svm.*Received: --protocol=knn"):
        protocol_of(parse(words, fields), {})
    in_a_file = dataclasses.replace(parse(words, fields), on_line=frozenset())
    assert protocol_of(in_a_file, {})[0].name == "knn"


def test_bare_arguments_are_refused(config):
    with pytest.raises(ValueError, match=r"Unexpected arguments: file.png"):
        line = given(workdir=config.workdir, arguments=["file.png"])
        main(dataclasses.replace(line, on_line=frozenset({"workdir"})))


@pytest.mark.slow
def test_a_workdir_that_cannot_be_written_to_is_evaluated(config):
    with tempfile.TemporaryDirectory() as folder:  # Others may go into it.
        os.chmod(folder, 0o755)
        workdir = shutil.copytree(config.workdir, os.path.join(folder, "run"))
        before = sorted(os.walk(workdir))
        for directory, _, names in before:
            os.chmod(directory, 0o555)
            for name in names:
                os.chmod(os.path.join(directory, name), 0o444)
        flags = [f"--flagfile={workdir}/flags.cfg", f"--workdir={workdir}"]
        flags.append("--eval_split=test[:60]")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "npid_tf.evaluate",
                *flags,
                "--eval_split=test[:60]",
            ],
            user=65534 if os.getuid() == 0 else None,  # Root may write anywhere.
            env={**os.environ, "HOME": folder},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "| refreshed embeddings" in done.stdout
        assert "Not written to" in done.stdout
        assert sorted(os.walk(workdir)) == before
