"""Keras's calls on a model: files, export, NaN pixels, batches of one, neighbors."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import (
    NPID,
    InstanceClassifier,
    InstanceCrossEntropy,
    LearnedRows,
    MemoryBank,
    NonparametricSoftmax,
    RefreshNeighbors,
    StopOnNonFiniteLoss,
    build_encoder,
)
from npid_tf.banks.refresh_neighbors import refresh_neighbors
from npid_tf.distribution.strategies import build_strategy
from npid_tf.runs.build import build_model
from npid_tf.runs.train_flags import TrainFlags

N = 20
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), np.uint8)
INDICES = np.arange(N)


def small_encoder(**arguments):
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, activation="relu")(images)
    return build_encoder(
        keras.Model(images, keras.layers.MaxPool2D(2)(x)), 5, **arguments
    )


def small_model(**arguments):
    keras.utils.set_random_seed(0)
    model = NPID(small_encoder(), MemoryBank(N, 5), NonparametricSoftmax(0.2))
    model.compile(keras.optimizers.SGD(0.1), **arguments)
    return model


def smoothed_model():
    keras.utils.set_random_seed(0)
    rows = LearnedRows(N, 5, num_neighbors=3)
    model = InstanceClassifier(small_encoder(), rows, InstanceCrossEntropy(0.2, 0.2))
    model.compile(keras.optimizers.SGD(0.1))
    return model


# Exports


LOAD = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1] + "/model")
images = np.load(sys.argv[1] + "/images.npy")
np.save(sys.argv[1] + "/embeddings.npy", model.serve(images))
assert "npid_tf" not in sys.modules
"""


@pytest.mark.parametrize("is_trained", [True, False])
def test_an_export_gives_the_embeddings_in_another_process(is_trained, tmp_path):
    strategy = build_strategy("mirrored" if is_trained else "one_device")
    with strategy.scope():
        model = small_model()
    if is_trained:
        model.fit(IMAGES, INDICES, batch_size=10, verbose=0)
        with strategy.scope(), pytest.raises(ValueError, match="outside of the strat"):
            model.export(tmp_path / "model")
    model.export(tmp_path / "model", verbose=False)
    np.save(tmp_path / "images.npy", IMAGES.astype(np.float32))
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], check=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "embeddings.npy"), model.encoder(IMAGES), atol=1e-5
    )


def test_a_clone_and_a_summary_can_be_made(capsys):
    model = small_model()
    clone = keras.models.clone_model(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    model.summary()
    assert "memory_bank" in capsys.readouterr().out


# Numbers that are none


@pytest.mark.parametrize(
    "arguments",
    [{}, {"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}],
)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_reach_the_loss(bad, arguments):
    images = IMAGES.astype(np.float32)
    images[::5, 3, 3, 1] = bad
    model = small_model(**arguments)
    assert np.isnan(model.evaluate(images, INDICES, batch_size=N, verbose=0))
    with pytest.raises(ValueError, match=r"loss became nan.*pixels"):
        model.fit(images, INDICES, verbose=0, callbacks=[StopOnNonFiniteLoss()])
    assert np.isfinite(model.bank.numpy()).all()


def test_a_diverged_encoder_leaves_the_rows():
    model = small_model()
    before = model.bank.numpy()
    model.encoder.set_weights(
        [np.full(w.shape, np.nan) for w in model.encoder.get_weights()]
    )
    assert np.isnan(model.train_on_batch(IMAGES, INDICES))
    np.testing.assert_allclose(model.bank.numpy(), before, rtol=1e-6)


# Batches of one


def test_batch_norm_of_one_image_is_refused():
    encoder = small_encoder(batch_norm_before_l2=True)
    model = NPID(encoder, MemoryBank(N, 5), NonparametricSoftmax(0.2))
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="`head_batch_norm` normalizes over a batch"):
        model.fit(IMAGES, INDICES, batch_size=N - 1, verbose=0)
    model.predict(IMAGES[:1], verbose=0)


def test_the_flags_of_a_batch_of_one_are_refused_before_training():
    config = TrainFlags(head_batch_norm=True, batch_size=1, width=4, image_size=8)
    with pytest.raises(ValueError, match=r"`head_batch_norm` normalizes.*batch_size=1"):
        build_model(config, N)


# Neighbors


def test_fit_finds_the_neighbors_that_labels_are_smoothed_with():
    plain, told = smoothed_model(), smoothed_model()
    plain.fit(IMAGES, INDICES, epochs=2, verbose=0)
    told.fit(IMAGES, INDICES, epochs=2, verbose=0, callbacks=[RefreshNeighbors()])
    for weight, expected in zip(plain.get_weights(), told.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    found = plain.bank.neighbors.numpy()
    units = plain.bank.numpy().astype(np.float64)
    scores = units @ units.T - 9 * np.eye(N)
    np.testing.assert_array_equal(found, np.argsort(-scores, axis=1)[:, :3])


def test_a_single_batch_finds_them_too():
    model = smoothed_model()
    model.train_on_batch(IMAGES, INDICES)
    assert model.bank.has_neighbors()


def test_labels_are_not_smoothed_before_there_are_neighbors():
    model = smoothed_model()
    message = "the rows have no neighbors"
    for call in (model.evaluate, model.test_on_batch):
        with pytest.raises(ValueError, match=message):
            call(IMAGES, INDICES)
    loss, rows = model.instance_loss, model.bank
    batch = tf.eye(2, 5), tf.constant([3, 4])
    with pytest.raises(ValueError, match=message):
        loss(*batch, bank=rows)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(lambda: loss(*batch, bank=rows))()
    in_xla = tf.function(lambda: loss(*batch, bank=rows), jit_compile=True)
    assert np.isnan(in_xla()).all()
    refresh_neighbors(rows)
    assert np.isfinite(in_xla()).all()
    assert np.isfinite(model.evaluate(IMAGES, INDICES, verbose=0))


def test_rows_without_room_for_neighbors_are_told_of():
    with pytest.raises(ValueError, match="Neighbors are kept by LearnedRows"):
        small_model().fit(IMAGES, INDICES, verbose=0, callbacks=[RefreshNeighbors()])
