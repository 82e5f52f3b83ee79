"""What Keras's users do, on two logical devices or as one of two workers.

Usage: python habits.py REPLICAS FOLDER; with REPLICAS 0 as a worker, TF_CONFIG set.
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from npid_tf import KNNEvaluation, StopOnNonFiniteLoss
from npid_tf.distribution.workers import is_multi_worker
from tests.distribution.programs.steps import N, batches, build, strategy_of


def main(num_replicas, folder):
    strategy = strategy_of(num_replicas)
    with strategy.scope():
        model = build("nce_shared", "sharded")
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    dataset = batches()
    if is_multi_worker(strategy):
        dataset = strategy.distribute_datasets_from_function(
            lambda context: batches(context.input_pipeline_id, 2)
        )
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (N, 6, 6, 3), np.uint8), np.arange(N) % 2
    eval_data = tf.data.Dataset.from_tensor_slices((images, np.arange(N))).batch(8)
    callbacks = [
        StopOnNonFiniteLoss(),
        KNNEvaluation(eval_data, labels, labels, k=5),
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.TensorBoard(folder / "tensorboard"),
        keras.callbacks.ModelCheckpoint(
            folder / "best.weights.h5",
            "loss",
            save_best_only=True,
            save_weights_only=True,
        ),
    ]
    history = model.fit(
        dataset, epochs=4, steps_per_epoch=5, callbacks=callbacks, verbose=2
    ).history
    assert history["loss"][-1] < history["loss"][0]
    assert 0 <= history["knn_top1"][-1] <= 1
    assert list((folder / "tensorboard").rglob("events*"))
    assert len((folder / "log.csv").read_text().splitlines()) == 5

    before = model.bank.numpy()
    loss = np.ravel(model.evaluate(dataset, steps=3, verbose=0))[0]
    assert np.isfinite(loss)
    model.load_weights(folder / "best.weights.h5")
    assert model.bank.numpy().shape == before.shape
    print(f"finished with loss {loss:.6f}")


if __name__ == "__main__":
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
