"""Saves checkpoints on some number of replicas, or restores those of other numbers.

Usage: python resharding.py save|restore FOLDER REPLICAS, or in two processes with
TF_CONFIG set and REPLICAS 0.
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from npid_tf import NCE, NPID, MemoryBank, SharedNegatives, build_encoder
from npid_tf.banks.placement import PLACEMENTS
from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.distribution.workers import is_chief
from tests.distribution.programs.steps import strategy_of

N = 23
FINGERPRINT = {"name": "toy"}


def build(placement, seed):
    keras.utils.set_random_seed(seed)
    images = keras.Input((4, 4, 3))
    encoder = build_encoder(keras.Model(images, keras.layers.Flatten()(images)), 5)
    bank = MemoryBank(N, 5, seed=seed, placement=placement)
    model = NPID(encoder, bank, NCE(SharedNegatives(N, 8)))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def state(model):
    """All that a checkpoint keeps: weights, bank, Z, step, the optimizer's."""
    variables = [
        *model.encoder.variables,
        *model.instance_loss.variables,
        model.step,
        *model.optimizer.variables,
    ]
    return [model.bank.numpy(), *(np.array(v.numpy()) for v in variables)]


def save(folder, num_replicas, strategy):
    for seed, placement in enumerate(PLACEMENTS):
        with strategy.scope():
            model = build(placement, seed=seed + 10 * num_replicas)
        for number, variable in enumerate(model.optimizer.variables):
            variable.assign(tf.ones(variable.shape, variable.dtype) * (number + 1))
        model.instance_loss.z.assign(7.5 + seed)
        model.step.assign(100 + seed)
        place = folder / f"{num_replicas}-{placement}"
        Checkpoints(place, model, FINGERPRINT).save(epoch=3, step=2)
        kept = state(model)
        if is_chief(strategy):
            np.savez(folder / f"{num_replicas}-{placement}.npz", *kept)


def restore(folder, strategy):
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        expected = list(np.load(f"{place}.npz").values())
        for placement in PLACEMENTS:
            with strategy.scope():
                model = build(placement, seed=99)
            assert (model.bank.numpy() != expected[0]).any()
            position = Checkpoints(place, model, FINGERPRINT).restore()
            assert (position.epoch, position.step) == (3, 2)
            for value, kept in zip(state(model), expected, strict=True):
                np.testing.assert_array_equal(value, kept)
            print(f"restored {place.name} onto {placement}")


if __name__ == "__main__":
    action, folder, count = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    strategy = strategy_of(count)
    if action == "save":
        save(folder, count, strategy)
    else:
        restore(folder, strategy)
