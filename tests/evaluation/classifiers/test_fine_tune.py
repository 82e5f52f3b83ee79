"""Which images are labelled, and the network that learns from them."""

import keras
import numpy as np
import pytest

from npid_tf.encoders.encoder import build_encoder
from npid_tf.evaluation.classifiers.fine_tune import (
    balanced_subset,
    build_network,
    weight_decay,
)

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 250))


@pytest.mark.parametrize(("percent", "count"), [(1, 2), (10, 25), (20, 50)])
def test_every_class_has_the_same_number_of_labels(percent, count):
    indices = balanced_subset(LABELS, percent, seed=0)
    assert np.bincount(LABELS[indices]).tolist() == [count] * 4
    assert (np.diff(indices) > 0).all()


def test_a_rare_class_gives_all_it_has():
    labels = np.array([0] * 97 + [1] * 3)
    indices = balanced_subset(labels, 20, seed=0)
    assert np.bincount(labels[indices]).tolist() == [10, 3]


def test_subsets_are_repeatable_and_differ_between_seeds():
    first = balanced_subset(LABELS, 10, seed=0)
    np.testing.assert_array_equal(first, balanced_subset(LABELS, 10, seed=0))
    assert set(first) != set(balanced_subset(LABELS, 10, seed=1))


def test_the_weight_decay_is_the_published_one():
    assert (weight_decay(1), weight_decay(10)) == (5e-4, 1e-4)


def test_the_network_shares_the_encoder_but_not_its_head():
    images = keras.Input([4, 4, 3])
    backbone = keras.Model(images, keras.layers.Conv2D(2, 3)(images))
    encoder = build_encoder(backbone, 5)
    network, scores = build_network(encoder, 7)
    assert network.output_shape == (None, 7)
    assert {id(v) for v in network.trainable_variables} == {
        id(v) for v in [*backbone.trainable_variables, *scores.trainable_variables]
    }
