"""Small models with each kind of bank, filled with numbers that a seed determines."""

import keras
import numpy as np
import tensorflow as tf

from npid_tf import (
    NPID,
    InstanceClassifier,
    InstanceCrossEntropy,
    LearnedRows,
    MemoryBank,
    NonparametricSoftmax,
    RecentRows,
    ShardedMemoryBank,
    build_encoder,
)
from npid_tf.banks.files import other_weights

N, DIM = 11, 3
FINGERPRINT = {"name": "toy", "num_instances": N}
BANKS = {
    "memory_bank": lambda: MemoryBank(N, DIM),
    "sharded": lambda: ShardedMemoryBank(N, DIM),
    "learned_rows": lambda: LearnedRows(N, DIM, num_neighbors=2),
    "recent_rows": lambda: RecentRows(N, DIM, num_recent=5),
}


def build(kind):
    """An NPID model whose bank is of a kind, on two devices where it is sharded."""
    if kind == "sharded":
        devices = tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([d.name for d in devices])
    else:
        strategy = tf.distribute.get_strategy()
    with strategy.scope():
        images = keras.Input((2, 2, 3))
        backbone = keras.Model(images, keras.layers.Flatten()(images))
        encoder, bank = build_encoder(backbone, DIM), BANKS[kind]()
        if isinstance(bank, (LearnedRows, RecentRows)):
            smoothing = 0.2 if bank.num_neighbors else 0.0
            model = InstanceClassifier(
                encoder, bank, InstanceCrossEntropy(0.2, smoothing)
            )
        else:
            model = NPID(encoder, bank, NonparametricSoftmax())
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def fill(model, seed):
    """Writes seeded numbers into all that a checkpoint keeps; the step is the seed."""
    rng = np.random.default_rng(seed)
    for rows in model.bank.all_rows().values():
        rows.write(0, (rng.normal(size=rows.shape) * 100).astype(rows.dtype))
    for variable in _others(model):
        variable.assign((rng.normal(size=variable.shape) * 100).astype(variable.dtype))
    model.step.assign(seed)


def state(model):
    """All that a checkpoint keeps: a list of arrays."""
    rows = [rows.numpy() for rows in model.bank.all_rows().values()]
    values = [np.array(variable.numpy()) for variable in _others(model)]
    return [*rows, *values, int(model.step.numpy())]


def is_same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def _others(model):
    return [
        *model.encoder.variables,
        *model.instance_loss.variables,
        *model.optimizer.variables,
        *other_weights(model.bank).values(),
    ]
