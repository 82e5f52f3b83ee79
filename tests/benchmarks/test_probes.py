"""The table of kNN, linear classification and SVMs at a tiny size."""

import pathlib

import numpy as np
import pytest

import probes

# A program of benchmarks/, of a minute or so.
pytestmark = pytest.mark.slow


@pytest.fixture
def workdir(trained_workdir, tmp_path):
    """The tiny run, with images held out and a feature cache of its own."""
    trained = pathlib.Path(trained_workdir.workdir)
    flags = (trained / "flags.cfg").read_text()
    (tmp_path / "flags.cfg").write_text(f"{flags}\n--eval_split=test\n")
    (tmp_path / "checkpoints").symlink_to(trained / "checkpoints")
    return tmp_path


def test_scikit_learn_agrees_with_the_protocols_on_one_encoder(workdir, capsys):
    rows = probes.main([f"--workdir={workdir}", "--num_images=120"])
    assert [row[:3] for row in rows] == [
        ["kNN", "trained", "refreshed embeddings"],
        ["kNN", "trained", "backbone features"],
        ["linear_probe", "trained", "features"],
        ["linear_probe", "untrained", "features"],
        ["svm", "trained", "features"],
    ]
    assert rows[0][3] == "k = 120, temperature 0.1"
    for _, _, _, _, top1, *compared, _ in rows:
        assert 0.2 < float(top1) <= 1  # Chance is .1.
        if compared != ["", ""]:
            other, difference = map(float, compared)
            assert difference == pytest.approx(float(top1) - other, abs=2e-4)
            assert abs(difference) <= 5 / 120  # images; liblinear's order is random
    printed = capsys.readouterr().out
    assert "Learned from 120 images, judged by 120." in printed
    assert "| svm | trained | features | costs " in printed


@pytest.mark.parametrize("classify", [probes.logistic_regression, probes.linear_svms])
def test_scikit_learn_s_classifiers_learn_what_they_are_given(classify):
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    vectors = np.eye(3, 5)[labels] + 0.1 * random.standard_normal([60, 5])
    penalty = [1.0, 10.0, 0.1] if classify is probes.linear_svms else 1e-3
    assert classify(vectors, labels, vectors, labels, penalty) == 1
    assert classify(vectors, labels, vectors, (labels + 1) % 3, penalty) == 0
