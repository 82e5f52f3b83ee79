"""Our callbacks in `model.fit`, alone and beside Keras's own."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import (
    NPID,
    KNNEvaluation,
    MemoryBank,
    NonparametricSoftmax,
    StopOnNonFiniteLoss,
    build_encoder,
)
from npid_tf.training.callbacks import EpochLog
from npid_tf.training.data_wait import DataWait
from npid_tf.training.metrics_file import read_metrics

# Two classes that any encoder tells apart: dark images and bright ones.
LABELS = np.arange(12) % 2
NOISE = np.random.default_rng(0).integers(0, 20, (12, 4, 4, 3))
IMAGES = (NOISE + 200 * LABELS[:, None, None, None]).astype(np.uint8)


def dataset(images=IMAGES):
    return tf.data.Dataset.from_tensor_slices((images, np.arange(len(images)))).batch(4)


@pytest.fixture
def model():
    images = keras.Input((4, 4, 3))
    backbone = keras.Model(images, keras.layers.Flatten()(images))
    npid = NPID(build_encoder(backbone, 5), MemoryBank(12, 5), NonparametricSoftmax())
    npid.compile(keras.optimizers.SGD(0.01))
    return npid


def knn(**arguments):
    return KNNEvaluation(dataset(), LABELS, LABELS, **arguments)


def test_knn_top1_is_the_accuracy_on_the_bank(model):
    model.optimizer.learning_rate = 0.0
    embeddings = model.predict(IMAGES, verbose=0)
    model.bank.momentum = 0.0  # The rows become the embeddings.
    history = model.fit(dataset(), callbacks=[knn(k=3)], verbose=0).history
    similarities = embeddings @ embeddings.T
    nearest = np.argsort(-similarities, axis=1)[:, :3]
    votes = np.exp(np.take_along_axis(similarities, nearest, axis=1) / 0.1)
    is_bright = (votes * (2 * LABELS[nearest] - 1)).sum(axis=1) > 0
    assert history["knn_top1"] == [np.mean(is_bright == LABELS)]
    assert history["knn_top1"] == [1.0]


def test_knn_labels_decide(model):
    # All rows are of class 0, and all queries of class 1.
    callback = KNNEvaluation(dataset(), np.ones(12, int), np.zeros(12, int))
    history = model.fit(dataset(), callbacks=[callback], verbose=0).history
    assert history["knn_top1"] == [0.0]


def test_knn_is_evaluated_every_so_many_epochs_and_after_the_last(model, tmp_path):
    path = tmp_path / "metrics.jsonl"
    callbacks = [knn(every=2), EpochLog(path, batch_size=4)]
    model.fit(dataset(), epochs=5, callbacks=callbacks, verbose=0)
    evaluated = [line["epoch"] for line in read_metrics(path) if "knn_top1" in line]
    assert evaluated == [2, 4, 5]


def test_knn_leaves_the_bank_alone(model):
    bank = model.bank.numpy()
    callback = knn()
    callback.set_model(model)
    callback.set_params({"epochs": 1})
    callback.on_epoch_end(0, {})
    np.testing.assert_array_equal(model.bank.numpy(), bank)


def test_training_stops_early_where_knn_top1_no_longer_rises(model):
    # Class 1 is never voted for: the accuracy is one half in every epoch.
    evaluation = KNNEvaluation(dataset(), LABELS, np.zeros(12, int))
    stop = keras.callbacks.EarlyStopping("knn_top1", mode="max", patience=2)
    history = model.fit(
        dataset(), epochs=20, callbacks=[evaluation, stop], verbose=0
    ).history
    assert history["knn_top1"] == [0.5] * 3


def test_keras_callbacks_work(model, tmp_path):
    best = tmp_path / "best.keras"
    callbacks = [
        knn(),
        keras.callbacks.ModelCheckpoint(
            best, monitor="knn_top1", mode="max", save_best_only=True
        ),
        keras.callbacks.TensorBoard(tmp_path / "logs"),
    ]
    model.fit(dataset(), epochs=2, callbacks=callbacks, verbose=0)
    (events,) = (tmp_path / "logs" / "train").glob("events.*")
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert {"epoch_loss", "epoch_knn_top1"} <= tags
    saved = keras.models.load_model(best)
    assert int(saved.step) in (3, 6)
    assert saved.bank.vectors.shape == (12, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_non_finite_loss_stops_training_at_once(model, value):
    images = IMAGES.astype(np.float32)
    images[8] = value  # In the last of three steps.
    with pytest.raises(ValueError, match=r"The loss became nan at step 3 of the epoch"):
        model.fit(
            dataset(images), epochs=5, callbacks=[StopOnNonFiniteLoss()], verbose=0
        )
    assert int(model.step) == 3


def test_a_finite_loss_goes_on(model):
    model.fit(dataset(), epochs=2, callbacks=[StopOnNonFiniteLoss()], verbose=0)
    assert int(model.step) == 6


def test_epoch_log_writes_what_happened(model, tmp_path):
    path = tmp_path / "metrics.jsonl"
    wait = DataWait()
    callbacks = [knn(), EpochLog(path, batch_size=4, data_wait=wait)]
    batches = wait.watch(dataset())
    history = model.fit(batches, epochs=2, callbacks=callbacks, verbose=0).history
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    for key in ("loss", "knn_top1", "learning_rate", "images_per_second"):
        np.testing.assert_allclose([line[key] for line in lines], history[key])
    np.testing.assert_allclose([line["learning_rate"] for line in lines], 0.01)
    assert all(line["images_per_second"] > 0 for line in lines)
    assert all(0 < line["data_wait"] < 1 for line in lines)


def test_epoch_log_of_a_resumed_run_keeps_the_epochs_before_it(model, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1, "loss": 9}\n{"epoch": 2, "loss": 8}\n{"epoch": 3')
    log = EpochLog(path, batch_size=4, first_epoch=1)
    assert read_metrics(path) == [{"epoch": 1, "loss": 9}]
    model.fit(dataset(), initial_epoch=1, epochs=3, callbacks=[log], verbose=0)
    assert [line["epoch"] for line in read_metrics(path)] == [1, 2, 3]


def test_no_metrics_file_has_no_lines(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
