"""kNN, cached linear classification and SVMs of one trained encoder, in one table.

    PYTHONPATH=. python benchmarks/probes.py --workdir=runs/cifar10_cpu

Beside the protocols stand scikit-learn's own classifiers, written out below, on the
same features and with the penalties that the protocols chose.
"""

import argparse
import dataclasses
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import measure
from augmented_views import read_config
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.evaluation.knn import knn_accuracy
from npid_tf.protocols.embeddings import embed_all
from npid_tf.protocols.labelled import LayerFlags, labelled_sources, layer_vectors
from npid_tf.protocols.linear_probe import evaluate_linear_probe
from npid_tf.protocols.svm import evaluate_svm
from npid_tf.runs import build

K = 200
# Of more images the published solver takes minutes for each class with a large cost:
# there the problem's primal is solved instead.
MOST_OF_DUAL = 10_000
ENCODERS = {
    "trained": build.load_trained_encoder,
    "untrained": build.build_fresh_encoder,
}
HEADER = [
    "protocol",
    "encoder",
    "vectors",
    "setting",
    "top-1",
    "scikit-learn",
    "difference",
    "seconds",
]


def logistic_regression(vectors, labels, eval_vectors, eval_labels, weight_decay):
    """Top-1 accuracy by scikit-learn; vectors: float32 [num_images, dim]."""
    scaler = StandardScaler().fit(vectors)
    classifier = LogisticRegression(
        C=1 / (weight_decay * len(vectors)), tol=1e-6, max_iter=1000
    )
    classifier.fit(scaler.transform(vectors), labels)
    return classifier.score(scaler.transform(eval_vectors), eval_labels)


def linear_svms(vectors, labels, eval_vectors, eval_labels, costs):
    """The same by an SVM for each class.

    costs: one for each class. The dual ends at the published limit of iterations at
    large ones, with a warning.
    """
    vectors, eval_vectors = (
        each / (np.linalg.norm(each, axis=1, keepdims=True) + 1e-5)
        for each in (np.float64(vectors), np.float64(eval_vectors))
    )
    svms = [
        LinearSVC(
            C=cost,
            class_weight={False: 1, True: 2},
            dual=len(vectors) <= MOST_OF_DUAL,
            max_iter=2000,
            random_state=0,
        ).fit(vectors, labels == number)
        for number, cost in enumerate(costs)
    ]
    scores = [svm.decision_function(eval_vectors) for svm in svms]
    return np.mean(np.argmax(scores, axis=0) == eval_labels)


def knn_rows(config, source, eval_source):
    """Rows of the table, one for each kind of vector."""
    with build_local_strategy(config.strategy).scope():
        encoder = build.load_trained_encoder(config)
        vectors = embed_all(config, encoder, source)
        queries = embed_all(config, encoder, eval_source)
    k, temperature = min(K, source.num_instances), config.knn_temperature
    for name in vectors:
        start = time.perf_counter()
        found = knn_accuracy(
            queries[name],
            eval_source.labels,
            vectors[name],
            source.labels,
            [k],
            temperature=temperature,
        )
        seconds = time.perf_counter() - start
        setting = f"k = {k}, temperature {temperature:g}"
        top1 = f"{found[k]['top1']:.4f}"
        yield ["kNN", "trained", name, setting, top1, "", "", f"{seconds:.0f}"]


def classifier_rows(config, learned, source, eval_source):
    """Rows of the table, one for each classifier, with scikit-learn's beside it."""
    start = time.perf_counter()
    for row in evaluate_linear_probe(config, learned):
        data = features(config, row["encoder"], source, eval_source)
        other = logistic_regression(*data, row["weight_decay"])
        setting = f"weight decay {row['weight_decay']:g}"
        name = "linear_probe", row["encoder"], row["layer"], setting
        yield [*name, *compared(row["top1"], other, start)]
        start = time.perf_counter()
    for row in evaluate_svm(config, learned):
        data = features(config, "trained", source, eval_source)
        # The costs are told to three digits.
        other = linear_svms(*data, [float(cost) for cost in row["costs"].split()])
        name = "svm", "trained", row["layer"], f"costs {row['costs']}"
        yield [*name, *compared(row["top1"], other, start)]


def features(config, encoder, source, eval_source):
    """(vectors, labels, vectors to judge by, their labels), from the feature cache."""
    with build_local_strategy(config.strategy).scope():
        model = ENCODERS[encoder](config)
        vectors, eval_vectors = (
            layer_vectors(config, model, images, ("features",))["features"]
            for images in (source, eval_source)
        )
    return vectors, source.labels, eval_vectors, eval_source.labels


def compared(ours, other, start):
    """The last cells of a row; start: when both classifiers began."""
    seconds = time.perf_counter() - start
    return [f"{ours:.4f}", f"{other:.4f}", f"{ours - other:+.4f}", f"{seconds:.0f}"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs/cifar10_cpu", help="A trained run")
    parser.add_argument(
        "--num_images", type=int, help="The first of each split; None: all of them"
    )
    flags = parser.parse_args(arguments)
    config = read_config(flags.workdir)
    learned = LayerFlags()
    if flags.num_images is not None:
        learned = LayerFlags(labelled_split=first(config.split, flags.num_images))
        config = dataclasses.replace(
            config, eval_split=first(config.eval_split or "train", flags.num_images)
        )
    source, eval_source = labelled_sources(config, learned, "linear_probe")
    rows = [
        *knn_rows(config, source, eval_source),
        *classifier_rows(config, learned, source, eval_source),
    ]
    print(f"\n{measure.machine()}\n")
    num_images = source.num_instances, eval_source.num_instances
    print("Learned from {:,} images, judged by {:,}.\n".format(*num_images))
    measure.print_table(HEADER, rows)
    return rows


def first(split, num_images):
    """The first images of the split that another is of: train[:90%] is of train."""
    return f"{split.partition('[')[0]}[:{num_images}]"


if __name__ == "__main__":
    main()
