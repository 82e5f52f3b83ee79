"""The instance classifier in Keras's `fit`: a toy, resume, files, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import (
    InstanceClassifier,
    InstanceCrossEntropy,
    LearnedRows,
    RefreshNeighbors,
    build_encoder,
)

NUM_INSTANCES = 24
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (NUM_INSTANCES, 6, 6, 3), np.uint8)


def small_model(smoothing=0.0, **arguments):
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 6, 3))
    maps = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(images)
    model = InstanceClassifier(
        build_encoder(keras.Model(images, maps), 5, batch_norm_before_l2=True),
        LearnedRows(NUM_INSTANCES, 5, num_neighbors=4 if smoothing else 0),
        InstanceCrossEntropy(0.2, smoothing),
        **arguments,
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def batches():
    indices = np.arange(NUM_INSTANCES)
    return tf.data.Dataset.from_tensor_slices((IMAGES, indices)).batch(8)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_learns_to_tell_images_apart(smoothing):
    model = small_model(smoothing, row_learning_rate=4.0)
    callbacks = [RefreshNeighbors()] if smoothing else []
    model.fit(batches(), epochs=40, callbacks=callbacks, verbose=0)
    similarities = model.predict(IMAGES, verbose=0) @ model.bank.numpy().T
    assert (similarities.argmax(axis=1) == np.arange(NUM_INSTANCES)).mean() > 0.9


def test_the_rows_move_at_their_own_rate():
    slow, fast = small_model(), small_model(row_learning_rate=3.0)
    first = slow.bank.rows.numpy()
    moved = []
    for model in (slow, fast):
        model.train_on_batch(IMAGES[:8], np.arange(8))
        now = model.bank.rows.numpy()
        moved.append(now - first)
    assert np.abs(moved[0]).max() > 1e-3
    np.testing.assert_allclose(moved[1], 3 * moved[0], rtol=1e-3, atol=1e-6)


def test_a_saved_model_goes_on_as_the_unsaved_one(tmp_path):
    model = small_model(0.2)
    model.fit(batches(), epochs=2, callbacks=[RefreshNeighbors()], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.fit(batches(), epochs=1, callbacks=[RefreshNeighbors()], verbose=0)
    for weight, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_smoothing_without_neighbors_is_refused():
    with pytest.raises(ValueError, match=r"num_neighbors=K.*smoothing=0.2"):
        InstanceClassifier(
            keras.Sequential([keras.Input([5]), keras.layers.Identity()]),
            LearnedRows(NUM_INSTANCES, 5),
            InstanceCrossEntropy(0.2, 0.2),
        )
