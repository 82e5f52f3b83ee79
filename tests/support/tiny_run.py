"""A tiny run of `npid_tf.train`, what it has saved, and whether two are the same."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from npid_tf.checkpoints.files import list_checkpoints
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.training.metrics_file import read_metrics

# NCE's moving Z, batch norm, momentum, random views: everything that a run keeps.
CONFIG = TrainFlags(
    split="train[:160]",
    eval_split="test[:40]",
    image_size=8,
    augmentation="moco_v2",
    width=4,
    embedding_dim=16,
    loss="nce",
    num_negatives=20,
    z_decay=0.9,
    bank_init="forward",
    epochs=3,
    batch_size=32,
    k=(5,),
)


def in_workdir(path, **changes):
    return dataclasses.replace(CONFIG, workdir=str(path), **changes)


def saved_tensors(workdir):
    newest = list_checkpoints(os.path.join(workdir, "checkpoints"))[-1]
    reader = tf.train.load_checkpoint(os.path.join(newest, "variables"))
    tensors = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    files = [name for name in os.listdir(newest) if name.endswith(".npy")]
    return tensors | {name: np.load(os.path.join(newest, name)) for name in files}


CLASSIFIER = {
    "loss": "instance_classifier",
    "num_negatives": TrainFlags.num_negatives,  # The defaults: NCE's flags, not its.
    "z_decay": TrainFlags.z_decay,
    "bank_init": "forward_centred",
    "label_smoothing": 0.2,
    "smoothing_neighbors": 7,
    "row_learning_rate": 2.0,
    "proximal_weight": 0.0,
}
RECENT = {**CLASSIFIER, "label_smoothing": 0.0, "recent_negatives": 80}


def metrics_without_time(workdir):
    lines = read_metrics(os.path.join(workdir, "metrics.jsonl"))
    for line in lines:
        del line["images_per_second"], line["seconds"]
        line.pop("data_wait", None)  # Of one device alone.
    return lines


def assert_same_run(workdir, other):
    tensors, others = saved_tensors(workdir), saved_tensors(other)
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)
    assert metrics_without_time(workdir) == metrics_without_time(other)
