"""The page of neighbors by embeddings and by pixels."""

import dataclasses
import pathlib

import numpy as np
import pytest
import sklearn.neighbors

from npid_tf.protocols.diagnostics.side_by_side import (
    SideBySideFlags,
    evaluate_side_by_side,
)
from npid_tf.protocols.knn import pixel_vectors
from npid_tf.runs import data


@pytest.fixture
def config(trained_workdir):
    return dataclasses.replace(trained_workdir, eval_split="test[:60]")


def test_what_is_counted_is_what_scikit_learn_finds_and_the_page_shows(config):
    rows = evaluate_side_by_side(config, SideBySideFlags(num_queries=3))
    source, queries = data.build_source(config), data.build_eval_source(config)
    vectors, asked = (pixel_vectors(config, one) for one in (source, queries))
    mean = vectors.mean(axis=0)
    nearest = sklearn.neighbors.NearestNeighbors(n_neighbors=8, metric="cosine")
    found = nearest.fit(vectors - mean).kneighbors(asked - mean)[1]
    for row in rows:
        query = int(row["query"])
        right = np.sum(source.labels[found[query]] == queries.labels[query])
        assert row["of its class by pixels"] == f"{right} of 8"
        assert row["class"] == str(queries.labels[query])
    text = pathlib.Path(config.workdir, "evaluation", "side_by_side.html").read_text()
    assert text.count("<figure") == 3 * 2 * 9
    assert text.count('<figure class="right"') + text.count('<figure class="wrong"') \
        == 3 * 2 * 8  # fmt: skip


def test_without_images_to_classify_queries_are_not_their_own_neighbors(
    trained_workdir,
):
    rows = evaluate_side_by_side(trained_workdir, SideBySideFlags(num_queries=2))
    text = pathlib.Path(
        trained_workdir.workdir, "evaluation", "side_by_side.html"
    ).read_text()
    for row in rows:
        # The query itself, its name as alternative text, once in either row.
        assert text.count(f'alt="{row["class"]}, {row["query"]}"') == 2
