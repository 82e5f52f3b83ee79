"""The views that protocols search for: which images, and that each keeps its place."""

import dataclasses

import numpy as np
import pytest

from npid_tf import build
from npid_tf.protocols.embeddings import embed_run, sample_images, unit


@pytest.fixture(scope="module")
def config(trained_workdir):
    return dataclasses.replace(trained_workdir, eval_split="test[:60]")


@pytest.fixture(scope="module")
def embed_some(config):
    source, eval_source = build.build_source(config), build.build_eval_source(config)

    def embed_with(**changes):
        changed = dataclasses.replace(config, **changes)
        return embed_run(changed, source, eval_source, num_viewed=40, num_views=2)

    return embed_with


def test_a_view_that_changes_nothing_is_the_row_of_its_image(embed_some):
    run = embed_some(augmentation="none")
    assert len(np.unique(run.viewed)) == 40
    for view in run.views:
        for feature in ("refreshed embeddings", "backbone features"):
            np.testing.assert_allclose(
                view[feature], run.train[feature][run.viewed], atol=1e-5
            )


def test_views_differ_from_each_other_and_come_again_with_their_seed(embed_some):
    run, again = embed_some(augmentation="affine"), embed_some(augmentation="affine")
    first, second = (view["refreshed embeddings"] for view in run.views)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(second, again.views[1]["refreshed embeddings"])
    other = embed_some(augmentation="affine", seed=1)
    assert not np.array_equal(other.viewed, run.viewed)


def test_every_vector_has_unit_length_and_bank_rows_are_the_banks(config, embed_some):
    run = embed_some()
    for vectors in (*run.train.values(), *run.held_out.values()):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(run.held_out["backbone features"]) == 60
    bank = build.load_trained(config, build.build_source(config)).bank
    np.testing.assert_allclose(run.train["bank as trained"], bank.numpy(), atol=1e-6)


def test_a_sample_is_sorted_without_repeats_and_determined_by_its_seed():
    sample = sample_images(1000, 50, seed=3)
    assert len(sample) == 50 and (np.diff(sample) > 0).all()
    np.testing.assert_array_equal(sample, sample_images(1000, 50, seed=3))
    assert not np.array_equal(sample, sample_images(1000, 50, seed=4))
    np.testing.assert_array_equal(sample_images(5, 9, seed=0), np.arange(5))


def test_vectors_of_zeros_stay_zeros():
    np.testing.assert_allclose(unit(np.array([[0, 0], [3, 4.0]])), [[0, 0], [0.6, 0.8]])
