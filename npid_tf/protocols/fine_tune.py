"""Fine-tuning on a few percent of the labels, beside the same network from scratch."""

import dataclasses
import hashlib
import itertools
import json
import os

import keras

from npid_tf.command_line.fields import flag
from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.pipeline import make_train_dataset
from npid_tf.data.sources.subset import subset
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.encoders.encoder import encoder_hash
from npid_tf.errors import UserError
from npid_tf.evaluation.accuracy import network_accuracy
from npid_tf.evaluation.classifiers.classifier import (
    Classifier,
    train_classifier,
    with_labels,
)
from npid_tf.evaluation.classifiers.fine_tune import (
    DECAY_EPOCHS,
    DROP,
    EPOCHS,
    balanced_subset,
    build_network,
    weight_decay,
)
from npid_tf.evaluation.classifiers.linear_heads import scaled_epochs
from npid_tf.files.whole_files import write_whole
from npid_tf.protocols.labelled import LabelledFlags, count_classes, labelled_sources
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import build, data

STARTS = {
    "pre-trained": build.load_trained_encoder,
    "from scratch": build.build_fresh_encoder,
}


@dataclasses.dataclass(frozen=True)
class FineTuneFlags(LabelledFlags):
    """How many labels, and how the network is fine-tuned with them."""

    label_percents: tuple[int, ...] = flag(
        (1, 2, 4, 10, 20), "Labels in percent of the images", at_least=1
    )
    fine_tune_rates: tuple[float, ...] = flag(
        (0.1, 0.01, 0.001), "Learning rates per 256 images", above=0
    )
    head_multipliers: tuple[int, ...] = flag(
        (1, 10, 100), "How much faster the new layer learns", at_least=1
    )
    probe_epochs: int | None = flag(
        None, "Epochs; None: the published number", at_least=1
    )
    probe_batch_size: int = flag(256, "Images in a step", at_least=1)


def evaluate_fine_tune(config, flags):
    """A row for each part of the labels, start, learning rate and head multiplier.

    The subsets are written to WORKDIR/semi_supervised, and every row to `runs` there
    when it is done: rows of the same encoders, images and flags are not made again.
    Raises ValueError where labels, images to judge by or a checkpoint are missing.
    """
    for percent in flags.label_percents:
        if percent > 100:
            raise UserError(
                f"`label_percents` must be at most 100. Received: {percent}."
            )
    source, eval_source = labelled_sources(config, flags, "fine_tune")
    num_classes = count_classes(source, eval_source)
    hashes = {start: encoder_hash(make(config)) for start, make in STARTS.items()}
    rows = []
    for percent in flags.label_percents:
        indices = balanced_subset(source.labels, percent, config.seed)
        _write_subset(config.workdir, percent, indices)
        labelled = subset(source, indices)
        for start, learning_rate, multiplier in itertools.product(
            STARTS, flags.fine_tune_rates, flags.head_multipliers
        ):
            name = (
                f"{percent} % of the labels ({len(indices)} images), {start}, learning "
                f"rate {learning_rate:g} per 256 images, times {multiplier} for the "
                "new layer"
            )
            path = _row_path(
                config, flags, labelled, eval_source, start, hashes[start], name
            )
            if os.path.exists(path):
                print(f"{name}: done before, {path}")
                with open(path, encoding="utf-8") as file:
                    rows.append(json.load(file))
                continue
            print(f"{name}:")
            row = {
                "labels": f"{percent} %",
                "images": len(indices),
                "start": start,
                "lr_per_256": learning_rate,
                "head_multiplier": multiplier,
                **_fine_tune(
                    config, flags, labelled, eval_source, num_classes, start,
                    learning_rate, multiplier, weight_decay(percent),
                ),
            }  # fmt: skip
            write_whole(path, json.dumps(row, indent=1))
            rows.append(row)
    return rows


def _row_path(config, flags, source, eval_source, start, start_hash, name):
    """Where the row is kept that all of these determine."""
    key = {
        "run": name,
        "encoder": start_hash,
        "backbone": config.backbone,
        "learned": source.fingerprint,
        "judged": eval_source.fingerprint,
        "epochs": flags.probe_epochs,
        "batch_size": flags.probe_batch_size,
        "image_size": config.image_size,
        "crop_fraction": config.crop_fraction,
        "precision": config.precision,
        "seed": config.seed,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    directory = os.path.join(config.workdir, "semi_supervised", "runs")
    return os.path.join(directory, f"{digest[:16]}.json")


def _fine_tune(
    config,
    flags,
    source,
    eval_source,
    num_classes,
    start,
    learning_rate,
    multiplier,
    decay,
):
    """Trains and returns what is to be reported of it."""
    epochs = flags.probe_epochs or EPOCHS
    batch_size = min(flags.probe_batch_size, source.num_instances)
    steps = source.num_instances // batch_size
    dataset = make_train_dataset(
        source,
        build_augmentation("crop_flip"),
        config.image_size,
        batch_size,
        config.seed,
        epochs,
    )
    with build_local_strategy(config.strategy).scope():
        encoder = STARTS[start](config)
        keras.utils.set_random_seed(config.seed)
        network, scores = build_network(encoder, num_classes)
        model = Classifier(network, decay, scores.trainable_variables, multiplier)
    train_classifier(
        model,
        with_labels(dataset, source.labels),
        steps,
        epochs,
        learning_rate * batch_size / 256,
        scaled_epochs(epochs, EPOCHS, DECAY_EPOCHS),
        DROP,
        nesterov=False,
    )
    ((top1, top5),) = network_accuracy(
        network, data.build_eval_dataset(config, eval_source), eval_source.labels
    )
    return {
        "lr": learning_rate * batch_size / 256,
        "weight_decay": decay,
        "epochs": epochs,
        "top1": float(top1),
        "top5": float(top5),
    }


def _write_subset(workdir, percent, indices):
    name = f"labels_{percent}_percent.txt"
    path = os.path.join(workdir, "semi_supervised", name)
    write_whole(path, "".join(f"{index}\n" for index in indices))


def published(rows):
    """The best run of each start, chosen on the test images as the original does."""
    table = []
    for labels in dict.fromkeys(row["labels"] for row in rows):
        own = [row for row in rows if row["labels"] == labels]
        best = {
            start: max(row["top1"] for row in own if row["start"] == start)
            for start in STARTS
        }
        table.append(
            {
                "Labels": labels,
                "Pre-trained": f"{100 * best['pre-trained']:.2f}",
                "From scratch": f"{100 * best['from scratch']:.2f}",
                "Best of": f"{len(own) // len(STARTS)} runs each, by test accuracy",
            }
        )
    return table


PROTOCOL = Protocol("fine_tune", evaluate_fine_tune, FineTuneFlags, published)
