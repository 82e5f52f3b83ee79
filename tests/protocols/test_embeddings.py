"""The views that protocols search for: which images, and that each keeps its place."""

import dataclasses

import numpy as np
import pytest

from npid_tf.protocols.embeddings import embed_run, sample_images, unit
from npid_tf.runs import build, data


@pytest.fixture(scope="module")
def config(trained_workdir):
    return dataclasses.replace(trained_workdir, eval_split="test[:60]")


def embed_some(config, augmentation):
    config = dataclasses.replace(config, augmentation=augmentation)
    source, eval_source = data.build_source(config), data.build_eval_source(config)
    return embed_run(config, source, eval_source, num_viewed=40, num_views=2)


@pytest.fixture(scope="module")
def run(config):
    return embed_some(config, "affine")


def test_a_view_that_changes_nothing_is_the_row_of_its_image(config):
    run = embed_some(config, "none")
    assert len(np.unique(run.viewed)) == 40
    for feature in ("refreshed embeddings", "backbone features"):
        twice = np.tile(run.train[feature][run.viewed], (2, 1))
        np.testing.assert_allclose(run.views[feature], twice, atol=1e-5)


def test_views_differ_from_each_other_and_come_again_with_their_seed(config, run):
    views = run.views["refreshed embeddings"]
    assert np.abs(views[:40] - views[40:]).max() > 0.01
    again = embed_some(config, "affine").views["refreshed embeddings"]
    np.testing.assert_array_equal(views, again)


def test_every_vector_has_unit_length_and_bank_rows_are_the_banks(config, run):
    for vectors in (*run.train.values(), *run.held_out.values(), *run.views.values()):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(run.held_out["backbone features"]) == 60
    bank = build.load_trained(config, data.build_source(config)).bank
    np.testing.assert_allclose(run.train["bank as trained"], bank.numpy(), atol=1e-6)


def test_a_sample_is_sorted_without_repeats_and_determined_by_its_seed():
    sample = sample_images(1000, 50, seed=3)
    assert len(sample) == 50 and (np.diff(sample) > 0).all()
    np.testing.assert_array_equal(sample, sample_images(1000, 50, seed=3))
    assert not np.array_equal(sample, sample_images(1000, 50, seed=4))
    np.testing.assert_array_equal(sample_images(5, 9, seed=0), np.arange(5))


def test_vectors_of_zeros_stay_zeros():
    np.testing.assert_allclose(unit(np.array([[0, 0], [3, 4.0]])), [[0, 0], [0.6, 0.8]])
