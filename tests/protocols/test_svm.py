"""The SVM protocol on images whose colour is their class."""

import pytest

from npid_tf.evaluation.classifiers import svm as evaluation
from npid_tf.protocols.labelled import LayerFlags
from npid_tf.protocols.svm import evaluate_svm, published


@pytest.mark.parametrize(
    ("several_classes", "measure"), [(False, "top1"), (True, "mAP")]
)
def test_colors_are_told_apart(
    color_config,
    several_classes_config,
    learn_colors,
    learn_several_classes,
    several_classes,
    measure,
    monkeypatch,
):
    monkeypatch.setattr(evaluation.fit_svms, "__defaults__", ((0.1, 1.0),))
    config = several_classes_config if several_classes else color_config
    learn = learn_several_classes if several_classes else learn_colors
    (row,) = evaluate_svm(config, LayerFlags(**learn))
    assert row["layer"] == "features"
    assert (row["dim"], row["images"]) == (32, 60)
    assert row[measure] == 1.0


def test_the_page_has_the_best_layer_in_percent():
    rows = [{"layer": "conv4", "top1": 0.5}, {"layer": "conv5", "top1": 0.76754}]
    assert published(rows) == [{"Best Layer": "conv5", "SVM": "76.75"}]
