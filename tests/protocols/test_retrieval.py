"""The retrieval protocol on a tiny run: its table, and what it leaves out."""

import dataclasses

import pytest

from npid_tf.encoders.embed import embed
from npid_tf.evaluation.retrieval import retrieval_scores
from npid_tf.protocols.retrieval import RetrievalFlags, evaluate_retrieval
from npid_tf.runs import build, data

FEATURES = ["bank as trained", "refreshed embeddings", "backbone features"]


@pytest.fixture(scope="module")
def config(trained_workdir):
    return dataclasses.replace(
        trained_workdir, eval_split="test[:60]", augmentation="affine"
    )


@pytest.fixture(scope="module")
def rows(config):
    return evaluate_retrieval(config, RetrievalFlags())


def test_the_table_holds_both_tasks_for_every_feature(rows):
    expected = [
        (task, name) for task in ("same class", "same image") for name in FEATURES
    ]
    assert [(row["task"], row["feature"]) for row in rows] == expected
    assert [row["queries"] for row in rows] == 3 * [60] + 3 * [4 * 256]
    assert {row["rows"] for row in rows} == {256}
    for row in rows:
        assert 0 < row["recall@1"] <= row["recall@5"] <= row["recall@10"] <= 1
        assert 0 < row["mAP"] <= 1


def test_images_of_a_class_are_found_by_their_embeddings(config, rows):
    source, eval_source = data.build_source(config), data.build_eval_source(config)
    encoder = build.load_trained(config, source).encoder
    vectors, queries = (
        embed(encoder, data.build_eval_dataset(config, images), images.num_instances)
        for images in (source, eval_source)
    )
    expected = retrieval_scores(queries, eval_source.labels, vectors, source.labels)
    (row,) = (
        row
        for row in rows
        if (row["task"], row["feature"]) == ("same class", "refreshed embeddings")
    )
    assert {key: row[key] for key in expected} == pytest.approx(expected, abs=1e-6)


def test_without_labels_it_says_so_and_unchanged_images_find_themselves(
    config, rows, capsys
):
    unchanged = dataclasses.replace(config, augmentation="none", eval_split=None)
    found = evaluate_retrieval(unchanged, RetrievalFlags())
    assert "Without labels" in capsys.readouterr().out
    assert [(row["task"], row["feature"]) for row in found] == [
        ("same image", name) for name in FEATURES
    ]
    for changed, row in zip(rows[4:], found[1:], strict=True):
        assert row["recall@1"] > 0.99  # Two digits may be alike to the last bit.
        assert row["recall@1"] > changed["recall@1"]


def test_an_untrained_workdir_is_refused_with_what_to_run(config, tmp_path):
    with pytest.raises(ValueError, match=r"No checkpoint in .*npid train"):
        config = dataclasses.replace(config, workdir=str(tmp_path))
        evaluate_retrieval(config, RetrievalFlags())
