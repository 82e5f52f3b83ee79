"""The table, file and picture of recipes, from runs that are made up."""

import csv
import dataclasses
import pathlib

import pytest

import convergence
from npid_tf.command_line.given import parse
from npid_tf.runs.train_flags import TrainFlags


def made_up_run(top1):
    lines = [
        {"epoch": epoch, "seconds": 10.0, "knn_top1": top1 * epoch / 2}
        for epoch in (1, 2)
    ]
    knn = [
        {"feature": "refreshed embeddings", "k": k, "top1": top1 + k / 1000}
        for k in (100, 200)
    ]
    linear = [{"encoder": "trained", "layer": "features", "top1": top1 + 0.1}]
    return lines, {"knn": knn, "linear_cached": linear}


RUNS = {
    ("default", 0): made_up_run(0.5),
    ("default", 1): made_up_run(0.6),
    ("authors", 0): made_up_run(0.4),
}


def test_a_row_has_the_mean_and_spread_of_its_seeds():
    cells = convergence.row("default", RUNS)
    spread = "+- 0.0707"
    assert cells == [
        *("default", 2, f"0.7500 {spread}", "0.275 0.550", f"0.6500 {spread}")
    ]
    assert convergence.row("authors", RUNS)[2:] == ["0.6000", "0.200 0.400", "0.5000"]


def test_a_recipe_without_a_probe_has_an_empty_cell():
    lines, accuracies = made_up_run(0.4)
    runs = {("sgd", 0): (lines, {"knn": accuracies["knn"]})}
    assert convergence.row("sgd", runs)[2:] == ["0.6000", "0.200 0.400", ""]


def test_file_and_picture_hold_every_epoch(tmp_path):
    convergence.write_csv(tmp_path / "it.csv", RUNS)
    with open(tmp_path / "it.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2
    assert [row["seconds"] for row in rows[:2]] == ["10.0", "20.0"]
    convergence.plot(tmp_path / "it.png", RUNS)
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_recipe_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        convergence.main(["--recipes", "typo"])
    assert "Known: authors, default, one_view" in capsys.readouterr().err


def test_recipes_are_of_flags_that_there_are_and_differ(monkeypatch):
    monkeypatch.chdir(pathlib.Path(__file__).resolve().parents[2])
    fields = dataclasses.fields(TrainFlags)
    configs = [
        parse(flags, fields).flags(TrainFlags) for flags in convergence.RECIPES.values()
    ]
    assert all(config not in configs[:i] for i, config in enumerate(configs))
