"""Trains small models on some number of replicas and writes what came of it.

Usage: python steps.py REPLICAS OUTPUT.npz LOSS..., or in two processes with TF_CONFIG
set and REPLICAS 0. Each loss takes 20 steps with either bank; the classifiers with rows
of their own.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from npid_tf import (
    NCE,
    NPID,
    InstanceClassifier,
    InstanceCrossEntropy,
    LearnedRows,
    MemoryBank,
    NonparametricSoftmax,
    PerSampleNegatives,
    RecentRows,
    SampledSoftmax,
    ShardedMemoryBank,
    SharedNegatives,
    build_encoder,
)
from npid_tf.backbones.resnet import batch_norm
from npid_tf.banks.refresh_neighbors import refresh_neighbors

N = 51  # Not divisible by 2 or 4.
BATCH = 12
STEPS = 20
LOSSES = {
    "softmax": lambda: NonparametricSoftmax(0.2),
    "nce_shared": lambda: NCE(SharedNegatives(N, 16), 0.2, z_decay=0.9),
    "nce_per_sample": lambda: NCE(PerSampleNegatives(N, 16), 0.2),
    "sampled_shared": lambda: SampledSoftmax(SharedNegatives(N, 16), 0.2),
    "sampled_per_sample": lambda: SampledSoftmax(PerSampleNegatives(N, 16), 0.2),
}
BANKS = {"replicated": MemoryBank, "sharded": ShardedMemoryBank}
# Have rows of their own, which are always sharded.
CLASSIFIERS = {
    "classifier": lambda: (
        LearnedRows(N, 6, weight_decay=0.01, num_neighbors=5),
        InstanceCrossEntropy(0.2, smoothing=0.2),
    ),
    "recent": lambda: (
        RecentRows(N, 6, num_recent=20, weight_decay=0.01),
        InstanceCrossEntropy(0.2),
    ),
}


def strategy_of(num_replicas):
    if num_replicas == 0:
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpus[0], [tf.config.LogicalDeviceConfiguration()] * num_replicas
    )
    if num_replicas == 1:
        return tf.distribute.get_strategy()
    devices = [f"CPU:{number}" for number in range(num_replicas)]
    return tf.distribute.MirroredStrategy(devices)


def build(loss, bank):
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 3))
    x = batch_norm()(keras.layers.Conv2D(8, 3, strides=2)(images))
    backbone = keras.Model(images, keras.layers.ReLU()(x))
    encoder = build_encoder(backbone, 6, batch_norm_before_l2=True)
    if loss in CLASSIFIERS:
        rows, cross_entropy = CLASSIFIERS[loss]()
        if rows.num_neighbors:
            refresh_neighbors(rows)
        return InstanceClassifier(
            encoder, rows, cross_entropy, row_learning_rate=5.0, weight_decay=0.01
        )
    return NPID(
        encoder,
        BANKS[bank](N, 6, momentum=0.3),
        LOSSES[loss](),
        proximal_weight=0.2,
        weight_decay=0.01,
    )


def batches(worker=0, num_workers=1):
    """A worker's part of the global batches: in one an index is twice, one is small."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 6, 6, 3), np.uint8)
    orders = [rng.permutation(N)[:BATCH] for _ in range(STEPS)]
    orders[3][-1] = orders[3][0]  # The first and the last replica have it.
    orders[-1] = orders[-1][:7]

    def parts():
        for indices in orders:
            size = len(indices)
            first, end = (size * w // num_workers for w in (worker, worker + 1))
            yield images[indices[first:end]], indices[first:end]

    signature = (
        tf.TensorSpec([None, 6, 6, 3], tf.uint8),
        tf.TensorSpec([None], tf.int64),
    )
    return tf.data.Dataset.from_generator(parts, output_signature=signature)


def main(num_replicas, output, losses):
    strategy = strategy_of(num_replicas)
    results = {}
    for loss in losses:
        for bank in BANKS if loss not in CLASSIFIERS else ["sharded"]:
            with strategy.scope():
                model = build(loss, bank)
                model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
            name = f"{loss}.{bank}"
            results[f"{name}.first"] = model.bank.numpy()
            results[f"{name}.losses"] = run(model, strategy)
            for number, weight in enumerate(model.encoder.weights):
                results[f"{name}.weight{number}"] = weight.numpy()
            results[f"{name}.bank"] = model.bank.numpy()
            results[f"{name}.held"] = model.bank.rows.numpy()
            for copy, (first, end, variable) in enumerate(model.bank.rows.parts()):
                results[f"{name}.copy{copy}"] = variable.numpy()[: end - first]
                results[f"{name}.room{copy}"] = variable.shape[0]
    np.savez(output, canary=canary(), **results)


def canary():
    """Values of TensorFlow's kernels alone: another processor may round otherwise."""
    random = np.random.default_rng(0)
    images = random.normal(size=[12, 6, 6, 3]).astype(np.float32)
    kernel = random.normal(size=[3, 3, 3, 8]).astype(np.float32)
    with tf.GradientTape() as tape:
        weights = tf.Variable(kernel)
        found = tf.nn.relu(tf.nn.conv2d(images, weights, 2, "SAME"))
        flat = tf.nn.l2_normalize(tf.reshape(found, [12, -1]), 1)
        loss = tf.reduce_sum(tf.exp(tf.matmul(flat, flat, transpose_b=True) / 0.2))
    return tape.gradient(loss, weights).numpy()


def run(model, strategy):
    """The loss of each of 20 steps, which `fit` takes as epochs of one."""
    dataset = batches()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        dataset = strategy.distribute_datasets_from_function(
            lambda context: batches(context.input_pipeline_id, 2)
        )
    history = model.fit(dataset, steps_per_epoch=1, epochs=STEPS, verbose=0).history
    return np.array(history["loss"])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
