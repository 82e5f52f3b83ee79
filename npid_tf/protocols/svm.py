"""One-vs-rest linear SVMs on the layers, as VOC07's tables report them."""

import functools

import numpy as np

from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.evaluation.classifiers.svm import (
    class_scores,
    fit_svms,
    mean_average_precision,
    one_vs_rest,
    unit,
)
from npid_tf.protocols.labelled import (
    LayerFlags,
    count_classes,
    labelled_targets,
    layer_vectors,
)
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import build


def evaluate_svm(config, flags):
    """A row a layer: accuracy, or mAP where an image may have several classes.

    Raises ValueError where labels, images to judge by or a checkpoint are missing, or
    where a class has fewer than three images.
    """
    vectors, eval_vectors, targets, measure, judge = svm_data(config, flags, "svm")
    rows = []
    for layer in flags.layers:
        found = fit_svms(unit(vectors[layer]), targets)
        scores = class_scores([svm for svm, _ in found], unit(eval_vectors[layer]))
        rows.append(
            {
                "layer": layer,
                "dim": vectors[layer].shape[1],
                "images": len(targets),
                "cost by": "3-fold cross-validation",
                "costs": " ".join(f"{cost:.3g}" for _, cost in found),
                measure: judge(scores),
            }
        )
    return rows


def svm_data(config, flags, protocol):
    """What SVMs learn from and are judged by.

    Returns (vectors, eval_vectors, targets, measure, judge): for each layer float32
    [num_images, dim] on disk, [num_images, num_classes], and the measure's name and
    its function of class scores. Raises as `evaluate_svm`.
    """
    source, eval_source = labelled_targets(config, flags, protocol)
    with build_local_strategy(config.strategy).scope():
        encoder = build.load_trained_encoder(config)
        vectors, eval_vectors = (
            layer_vectors(config, encoder, images, flags.layers)
            for images in (source, eval_source)
        )
    if source.targets is not None:
        judge = functools.partial(mean_average_precision, targets=eval_source.targets)
        return vectors, eval_vectors, source.targets, "mAP", judge
    num_classes = count_classes(source, eval_source)

    def accuracy(scores):
        return float(np.mean(np.argmax(scores, axis=1) == eval_source.labels))

    targets = one_vs_rest(source.labels, num_classes)
    return vectors, eval_vectors, targets, "top1", accuracy


def published(rows):
    """MMSelfSup's table: the best layer and its score in percent."""
    measure = list(rows[0])[-1]
    best = max(rows, key=lambda row: row[measure])
    return [{"Best Layer": best["layer"], "SVM": f"{100 * best[measure]:.2f}"}]


PROTOCOL = Protocol("svm", evaluate_svm, LayerFlags, published)
