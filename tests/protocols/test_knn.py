"""What the kNN protocol refuses; what it reports is seen in tests/test_evaluate.py."""

import dataclasses

import numpy as np
import pytest

from npid_tf import build
from npid_tf.data.arrays import from_arrays
from npid_tf.protocols.knn import evaluate_knn


@pytest.fixture(scope="module")
def config(trained_workdir):
    return dataclasses.replace(trained_workdir, eval_split="test[:60]")


def test_without_images_to_classify_it_says_which_flag_to_pass(trained_workdir):
    with pytest.raises(ValueError, match="--eval_split"):
        evaluate_knn(trained_workdir)


def test_k_beyond_the_training_images_is_refused(config):
    with pytest.raises(ValueError, match=r"at most the 256 .*Received: 257"):
        evaluate_knn(dataclasses.replace(config, k=(5, 257)))


def test_an_untrained_workdir_is_refused_with_what_to_run(config, tmp_path):
    with pytest.raises(ValueError, match=r"No checkpoint in .*npid_tf.train"):
        evaluate_knn(dataclasses.replace(config, workdir=str(tmp_path)))


def test_other_data_than_those_trained_on_are_refused(config):
    with pytest.raises(ValueError, match="The data differ"):
        evaluate_knn(dataclasses.replace(config, split="train[-256:]"))


def test_images_of_other_classes_are_refused(config, monkeypatch):
    images = np.zeros([2, 8, 8, 3], np.uint8)
    others = from_arrays(images, np.array([0, 1]), class_names=("cat", "dog"))
    monkeypatch.setattr(build, "build_eval_source", lambda config: others)
    with pytest.raises(ValueError, match=r"Received: 2 .cat, dog., expected 10"):
        evaluate_knn(config)
