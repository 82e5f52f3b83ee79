"""What was planted is listed, by brute force's word, exactly and through ScaNN."""

import csv
import dataclasses
import json
import os

import numpy as np
import pytest

from npid_tf import evaluate
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.evaluation import neighbors_of_all
from npid_tf.protocols.curation import CurationFlags, curate
from tests.support.given import given

NUM_ROWS, DIM = 1200, 32
COPIES = [(3, 700), (700, 1100), (50, 51)]  # Groups {3, 700, 1100} and {50, 51}.
LEAKS = {2: 40, 11: 999}  # Query: row.
OUTLIERS = [77, 400]
FLAGS = CurationFlags(
    duplicate_similarity=0.98, neighbors=6, num_outliers=5, subset_size=20
)


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def planted():
    """Rows around ten centers of a half space, but for two outliers; and queries."""
    random = np.random.default_rng(0)
    centers = np.abs(random.standard_normal([10, DIM]))
    rows = centers[np.arange(NUM_ROWS) % 10] + 0.5 * random.standard_normal(
        [NUM_ROWS, DIM]
    )
    queries = centers[np.arange(20) % 10] + 0.5 * random.standard_normal([20, DIM])
    rows[OUTLIERS] = -np.abs(random.standard_normal([2, DIM])) * [[1.0], [1.0]]
    rows[OUTLIERS[0], ::2] *= -1
    for first, second in COPIES:
        rows[second] = rows[first] + 0.02 * random.standard_normal(DIM)
    for query, row in LEAKS.items():
        queries[query] = 3 * rows[row]
    return [
        (each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32)
        for each in (rows, queries)
    ]


@pytest.fixture(scope="module", params=["all pairs", "ScaNN"])
def lists(request, planted, tmp_path_factory):
    """The lists of what was planted, and the table."""
    rows, queries = planted
    paths = [f"{row}.jpg" for row in range(NUM_ROWS)]
    against = from_arrays(np.zeros([20, 2, 2, 3], np.uint8))
    directory = tmp_path_factory.mktemp("lists")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "ScaNN":
            pytest.importorskip("scann")
            patch.setattr(neighbors_of_all, "EXACT_UP_TO", 500)
            patch.setattr("npid_tf.search.builder.BRUTE_FORCE_UP_TO", 500)
            patch.setattr("npid_tf.search.builder.TREE_ABOVE", 500)
        table = curate(FLAGS, rows, queries, paths, against, str(directory))
    found = {name: read_csv(directory / name) for name in os.listdir(directory)}
    overs = {row["measure"]: row["over"] for row in table}
    assert request.param in overs["part of the nearest found"]
    return found, {row["measure"]: row["value"] for row in table}


def pairs_of(lines):
    return {(int(line["first"]), int(line["second"])) for line in lines}


def test_all_copies_and_nothing_else_are_near_duplicates(lists, planted):
    found, values = lists
    rows, _ = planted
    scores = np.triu(rows @ rows.T, 1)
    expected = set(zip(*np.nonzero(scores >= 0.98), strict=True))
    assert expected == {*COPIES, (3, 1100)}
    lines = found["near_duplicates.csv"]
    assert pairs_of(lines) == expected and len(lines) == 4
    assert values["near-duplicate pairs"] == 4
    for line in lines:
        first, second = int(line["first"]), int(line["second"])
        assert float(line["similarity"]) == pytest.approx(scores[first, second], 1e-5)
        assert line["first_path"] == f"{first}.jpg"
        assert line["second_path"] == f"{second}.jpg"


def test_copies_of_copies_are_one_group(lists):
    found, values = lists
    lines = found["duplicate_groups.csv"]
    groups = [(line["group"], line["images"], line["path"]) for line in lines]
    assert groups == [
        *(("1", "3", f"{row}.jpg") for row in (3, 700, 1100)),
        *(("2", "2", f"{row}.jpg") for row in (50, 51)),
    ]
    assert (values["groups of near duplicates"], values["images to spare"]) == (2, 3)


def test_all_leaks_and_nothing_else_are_listed(lists, planted):
    found, values = lists
    scores = planted[1] @ planted[0].T
    expected = set(zip(*np.nonzero(scores >= 0.98), strict=True))
    assert expected == set(LEAKS.items())
    assert pairs_of(found["leaks.csv"]) == expected
    assert values["possible leaks"] == 2
    assert {line["first_path"] for line in found["leaks.csv"]} == {""}


def test_what_is_like_nothing_comes_first_among_the_outliers(lists, planted):
    found, values = lists
    lines = found["outliers.csv"]
    assert {int(line["index"]) for line in lines[:2]} == set(OUTLIERS)
    assert len(lines) == 5
    similarity = np.sort(planted[0][OUTLIERS] @ planted[0].T, axis=1)[:, -7:-1]
    assert float(lines[0]["mean_similarity"]) == pytest.approx(
        similarity.mean(axis=1).min(), abs=1e-5
    )
    first = values["mean similarity of the first outlier"]
    assert first == pytest.approx(float(lines[0]["mean_similarity"]), abs=1e-5)


def test_the_diverse_subset_covers_all_images_as_it_says(lists, planted):
    found, values = lists
    lines = found["diverse_subset.csv"]
    chosen = [int(line["index"]) for line in lines]
    assert len(set(chosen)) == 20 and set(OUTLIERS) < set(chosen)
    rows = planted[0]
    covered = (rows @ rows[chosen].T).max(axis=1).min()
    assert values["diverse subset covers"] == pytest.approx(covered, abs=1e-6)
    assert lines[0]["similarity_to_nearest_before"] == ""


def test_a_run_lists_its_own_images_or_others_against_others(
    trained_workdir, tmp_path, capsys
):
    images = np.random.default_rng(0).integers(0, 256, [30, 8, 8, 3], np.uint8)
    images[7] = images[3]
    np.savez(tmp_path / "a.npz", images=images)
    np.savez(tmp_path / "b.npz", images=images[20:])
    flags = dataclasses.replace(
        FLAGS,
        duplicate_similarity=0.99999,
        data=f"npz:{tmp_path}/a.npz",
        against=f"npz:{tmp_path}/b.npz",
    )
    workdir = trained_workdir.workdir
    evaluate.main(given(flags, workdir=workdir, protocol="curation"))
    assert f"Lists: {workdir}/evaluation/curation" in capsys.readouterr().out
    lists = f"{workdir}/evaluation/curation"
    assert (3, 7) in pairs_of(read_csv(f"{lists}/near_duplicates.csv"))
    leaks = pairs_of(read_csv(f"{lists}/leaks.csv"))
    assert {(row, row + 20) for row in range(10)} <= leaks
    with open(f"{workdir}/evaluation/curation.json") as file:
        values = {row["measure"]: row["value"] for row in json.load(file)["rows"]}
    assert values["possible leaks"] == 10
