"""What the kNN protocol refuses; what it reports is seen in tests/test_evaluate.py."""

import dataclasses

import numpy as np
import pytest

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.encoders.embed import embed
from npid_tf.encoders.encoder import with_features
from npid_tf.errors import UserError
from npid_tf.evaluation.knn import knn_accuracy
from npid_tf.protocols.knn import KnnFlags, evaluate_knn, published
from npid_tf.runs import build, data

FLAGS = KnnFlags(k=(5, 10))


@pytest.fixture(scope="module")
def config(trained_workdir):
    return dataclasses.replace(trained_workdir, eval_split="test[:60]")


def test_without_images_to_classify_it_says_which_flag_to_pass(trained_workdir):
    with pytest.raises(ValueError, match="--eval_split"):
        evaluate_knn(trained_workdir, FLAGS)


def test_k_beyond_the_training_images_is_refused(config):
    with pytest.raises(ValueError, match=r"at most the 256 .*Received: 257"):
        evaluate_knn(config, KnnFlags(k=(5, 257)))


def test_an_untrained_workdir_is_refused_with_what_to_run(config, tmp_path):
    with pytest.raises(ValueError, match=r"No checkpoint in .*npid train"):
        evaluate_knn(dataclasses.replace(config, workdir=str(tmp_path)), FLAGS)


def test_other_data_than_those_trained_on_are_refused(config):
    with pytest.raises(ValueError, match="The data differ"):
        evaluate_knn(dataclasses.replace(config, split="train[-256:]"), FLAGS)


def test_images_of_other_classes_are_refused(config, monkeypatch):
    images = np.zeros([2, 8, 8, 3], np.uint8)
    others = from_arrays(images, np.array([0, 1]), class_names=("cat", "dog"))
    monkeypatch.setattr(data, "build_eval_source", lambda config: others)
    with pytest.raises(ValueError, match=r"Received: 2 .cat, dog., expected 10"):
        evaluate_knn(config, FLAGS)


def test_the_paper_s_preset_votes_with_200_rows_of_the_bank(config):
    source, eval_source = data.build_source(config), data.build_eval_source(config)
    model = build.load_trained(config, source)
    queries = embed(model.encoder, data.build_eval_dataset(config, eval_source), 60)
    expected = knn_accuracy(
        queries,
        eval_source.labels,
        model.bank.numpy(),
        source.labels,
        (200,),
        temperature=0.07,
    )
    rows = evaluate_knn(config, KnnFlags(knn_preset="paper"))
    assert rows == [
        {
            "feature": "bank as trained",
            "k": 200,
            "temperature": 0.07,
            "top1": pytest.approx(expected[200]["top1"], abs=0.02),
            "top5": pytest.approx(expected[200]["top5"], abs=0.02),
        }
    ]


def test_mmselfsup_s_preset_votes_with_the_backbone_s_features(config):
    source, eval_source = data.build_source(config), data.build_eval_source(config)
    encoder = with_features(build.load_trained(config, source).encoder)

    def features(images):
        dataset = data.build_eval_dataset(config, images)
        found, _ = embed(encoder, dataset, images.num_instances)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    expected = knn_accuracy(
        *(features(eval_source), eval_source.labels, features(source), source.labels),
        (10, 20, 100, 200),
        temperature=0.07,
    )
    rows = evaluate_knn(config, KnnFlags(knn_preset="mmselfsup"))
    assert [(row["feature"], row["k"], row["temperature"]) for row in rows] == [
        ("backbone features", k, 0.07) for k in (10, 20, 100, 200)
    ]
    for row in rows:
        assert row["top1"] == pytest.approx(expected[row["k"]]["top1"], abs=0.02)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"'typo'\. Known: paper, mmselfsup"):
        KnnFlags(knn_preset="typo")


def test_the_page_has_a_row_for_each_feature_and_a_column_for_each_k():
    rows = [
        {"feature": feature, "k": k, "top1": top1}
        for feature, k, top1 in [("bank", 1, 0.5), ("bank", 20, 0.25), ("raw", 1, 1.0)]
    ]
    assert published(rows) == [
        {"feature": "bank", "k=1": "50.00", "k=20": "25.00"},
        {"feature": "raw", "k=1": "100.00"},
    ]
