"""What the protocols that learn from labels start with, and refuse."""

import dataclasses

import numpy as np
import pytest

from npid_tf.encoders.embed import embed
from npid_tf.encoders.encoder import with_features
from npid_tf.protocols.labelled import (
    LabelledFlags,
    labelled_sources,
    labelled_targets,
    layer_vectors,
)
from npid_tf.runs import build, data


def test_the_images_are_those_of_the_run_unless_flags_name_others(
    trained_workdir, color_config, learn_colors
):
    config = dataclasses.replace(trained_workdir, eval_split="test[:60]")
    source, eval_source = labelled_sources(config, LabelledFlags(), "svm")
    assert (source.num_instances, eval_source.num_instances) == (256, 60)
    part = LabelledFlags(labelled_split="train[:100]")
    assert labelled_sources(config, part, "svm")[0].num_instances == 100
    source, eval_source = labelled_sources(
        color_config, LabelledFlags(**learn_colors), "svm"
    )
    assert (source.num_instances, eval_source.num_instances) == (60, 30)


def test_without_labels_it_says_which_flags_to_pass(
    trained_workdir, several_classes_config
):
    for config in (trained_workdir, several_classes_config):
        with pytest.raises(ValueError, match=r"linear_probe needs .*--eval_split"):
            labelled_sources(config, LabelledFlags(), "linear_probe")


def test_labels_on_one_side_and_targets_on_the_other_are_refused(
    color_config, several_classes_config, learn_colors
):
    config = dataclasses.replace(
        color_config, eval_dataset=several_classes_config.eval_dataset
    )
    with pytest.raises(ValueError, match="must both have `labels`, or both `targets`"):
        labelled_targets(config, LabelledFlags(**learn_colors), "svm")


def test_vectors_are_those_of_the_trained_encoder(trained_workdir):
    source = data.build_source(trained_workdir)
    encoder = build.load_trained_encoder(trained_workdir)
    vectors = layer_vectors(trained_workdir, encoder, source, ("features", "embedding"))
    whole = build.load_trained(trained_workdir, source)
    dataset = data.build_eval_dataset(trained_workdir, source)
    expected = embed(with_features(whole.encoder), dataset, 256)
    np.testing.assert_allclose(vectors["features"], expected[0], atol=1e-5)
    np.testing.assert_allclose(vectors["embedding"], expected[1], atol=1e-5)
