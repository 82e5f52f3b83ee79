"""The diagnostics find what was planted, and their report opens in a browser."""

import csv
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from npid_tf import evaluate
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.evaluation.alignment import alignment, uniformity
from npid_tf.evaluation.neighborhood import hubness
from npid_tf.protocols.diagnostics.measure import (
    DiagnosticsFlags,
    analyze_held_out,
    analyze_training,
    measure,
)
from npid_tf.reports import html
from npid_tf.runs.workdir import write_run
from tests.support.given import given
from tests.support.vectors import unit_rows

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def config(trained_workdir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("diagnosed") / "run"
    shutil.copytree(trained_workdir.workdir, workdir)
    config = dataclasses.replace(
        trained_workdir,
        workdir=str(workdir),
        eval_split="test[:60]",
        augmentation="affine",
    )
    write_run(config)
    return config


FLAGS = DiagnosticsFlags(k=(5, 10), duplicate_similarity=0.9)


@pytest.fixture(scope="module")
def rows(config):
    evaluate.main(given(FLAGS, workdir=config.workdir, protocol="diagnostics"))
    path = os.path.join(config.workdir, "evaluation", "diagnostics.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)["rows"]


@pytest.fixture(scope="module")
def directory(config, rows):
    return os.path.join(config.workdir, "evaluation", "report")


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def source_of(labels):
    return from_arrays(np.zeros([len(labels), 2, 2, 3], np.uint8), labels)


@pytest.fixture(scope="module")
def planted(config):
    """Training images 4 and 9 and image 7 to classify are one; others to classify are
    near one of their class. Returns the rows, `Training`, `HeldOut` and the views."""
    flags = dataclasses.replace(FLAGS, k=(1,), duplicate_similarity=0.999)
    train, queries = unit_rows(30, 64), unit_rows(20, 64, seed=1)
    train[4] = queries[7] = train[9]
    queries[:7] = train[np.array([6, 1, 2, 3, 10, 5, 12])] + 0.05 * queries[:7]
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    source, eval_source = source_of(np.arange(30) % 3), source_of(np.arange(20) % 3)
    training = analyze_training(train)
    held_out = analyze_held_out(flags, source, eval_source, train, queries)
    views = train, unit_rows(30, 64, seed=2)
    rows = measure(config, flags, training, views, held_out, eval_source)
    return {row["measure"]: row["value"] for row in rows}, training, held_out, views


def test_planted_copies_are_the_first_pair_and_the_first_leak(planted):
    values, training, held_out, _ = planted
    first, second, similarities = training.near_duplicates
    assert (first[0], second[0]) == (4, 9)
    assert similarities[0] == pytest.approx(1) and similarities[1] < 0.9
    queries, images, _ = held_out.leaks
    assert queries[:2].tolist() == [7, 7] and set(images[:2]) == {4, 9}
    assert values["near-duplicate pairs"] == 1
    assert values["possible leaks"] == 1


def test_the_measures_are_those_of_their_functions(planted):
    values, training, held_out, views = planted
    assert values["alignment"] == alignment(*views)
    assert values["uniformity"] == uniformity(training.vectors)
    assert training.occurrences.sum() == 30 * 10
    assert values["hubness"] == hubness(training.occurrences)
    assert values["antihubs"] == (training.occurrences == 0).mean()
    assert held_out.predicted[:8].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert values["kNN top-1"] == (held_out.predicted == np.arange(20) % 3).mean()


def test_outliers_and_a_diverse_subset_are_those_of_their_functions(planted):
    _, training, _, _ = planted
    rows = training.vectors
    similarities = np.sort(rows @ rows.T, axis=1)[:, -11:-1].mean(axis=1)
    images, means = training.outliers
    assert images.tolist() == np.argsort(similarities)[:12].tolist()
    np.testing.assert_allclose(means, np.sort(similarities)[:12], atol=1e-5)
    assert len(set(training.diverse)) == 12 and not {4, 9} <= set(training.diverse)


def test_without_labels_there_are_leaks_but_no_classes(config):
    train, queries = unit_rows(30, 64), unit_rows(20, 64, seed=1)
    source = source_of(np.arange(30))
    eval_source = from_arrays(np.zeros([20, 2, 2, 3], np.uint8))
    held_out = analyze_held_out(FLAGS, source, eval_source, train, queries)
    assert held_out.predicted is None
    training = analyze_training(train)
    rows = measure(config, FLAGS, training, (train, train), held_out, eval_source)
    assert rows[-1]["measure"] == "possible leaks"
    rows = measure(config, FLAGS, training, (train, train), None, None)
    assert rows[-1]["measure"] == "near-duplicate pairs"


def test_a_run_writes_its_results_and_its_report_whole(rows, directory):
    assert [row["measure"] for row in rows] == [
        "alignment",
        "uniformity",
        "hubness",
        "antihubs",
        "near-duplicate pairs",
        "possible leaks",
        "kNN top-1",
    ]
    expected = ["leaks.csv", "near_duplicates.csv", "projector", "report.html"]
    assert sorted(os.listdir(directory)) == expected
    assert sorted(os.listdir(f"{directory}/projector")) == [
        "metadata.tsv",
        "projector_config.pbtxt",
        "sprite.png",
        "tensors.tsv",
    ]
    assert not os.path.exists(f"{directory}.partial")
    values = {row["measure"]: row["value"] for row in rows}
    pairs = read_csv(f"{directory}/near_duplicates.csv")
    assert len(pairs) == values["near-duplicate pairs"] > 0
    assert all(float(pair["similarity"]) >= 0.9 for pair in pairs)
    leaking = {pair["first"] for pair in read_csv(f"{directory}/leaks.csv")}
    assert len(leaking) == values["possible leaks"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"needs a browser on the PATH: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def test_the_report_opens_without_errors_or_requests_in_light_and_dark(
    browser, directory
):
    backgrounds = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        told, asked = [], []
        page.on("console", lambda message, told=told: told.append(message.text))
        page.on("pageerror", lambda error, told=told: told.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        address = f"file://{directory}/report.html"
        page.goto(address)
        assert told == []
        assert {url for url in asked if not url.startswith("data:")} == {address}
        images = page.eval_on_selector_all(
            "img", "all => all.map(i => [i.naturalWidth, i.currentSrc, i.alt])"
        )
        assert len(images) > 12 * 9
        assert all(width > 0 and alt for width, _, alt in images)
        backgrounds.add(
            page.evaluate("getComputedStyle(document.body).backgroundColor")
        )
        page.close()
    assert len(backgrounds) == 2


def test_the_keyboard_reaches_the_report_s_parts(browser, directory):
    page = browser.new_page()
    page.goto(f"file://{directory}/report.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    name = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert name == "Embeddings and data"
    page.close()


def assert_axe_finds_nothing(browser, path):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs axe: pip install axe-playwright-python",
    )
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme, bypass_csp=True)
        page.goto(f"file://{path}")
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.close()


def test_axe_finds_nothing_that_keeps_someone_from_reading_it(browser, directory):
    assert_axe_finds_nothing(browser, f"{directory}/report.html")


def test_pairs_of_one_name_are_no_fault_for_axe(browser, tmp_path):
    image = np.zeros([8, 8, 3], np.uint8)
    row = html.image_row("Pair 1, similarity 1.0000", [("a", image, "Black", "")])
    path = tmp_path / "report.html"
    path.write_text(html.page("Report", "Of pairs", {"Pairs": [row, row]}))
    assert_axe_finds_nothing(browser, path)
