"""Images and indices that can hardly be meant are told of once; others never are."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import NPID, MemoryBank, NonparametricSoftmax, build_encoder
from npid_tf.distribution.strategies import build_strategy

N = 40
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 4, 4, 3), np.uint8)
ORDER = np.random.default_rng(1).permutation(N)


def small_model(normalize=True, **arguments):
    images = keras.Input((4, 4, 3))
    backbone = keras.Model(images, keras.layers.Flatten()(images))
    encoder = build_encoder(backbone, 5, normalize=normalize)
    model = NPID(encoder, MemoryBank(N, 5), NonparametricSoftmax(0.2))
    model.compile(keras.optimizers.SGD(0.01), **arguments)
    return model


def told(model, images=IMAGES, indices=ORDER, batch_size=8, **arguments):
    """What was warned of, in three epochs of whole batches."""
    data = tf.data.Dataset.from_tensor_slices((images, indices))
    data = data.batch(batch_size, drop_remainder=True)
    if arguments.get("steps_per_epoch"):
        data = data.repeat()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(data, epochs=3, verbose=0, shuffle=False, **arguments)
    return [str(w.message) for w in caught if "npid_tf" in w.filename]


@pytest.mark.parametrize("arguments", [{}, {"jit_compile": True}])
@pytest.mark.parametrize(
    "images", [IMAGES / 255, IMAGES / 127.5 - 1, (IMAGES - 117.0) / 58]
)
def test_images_that_are_scaled_already_are_told_of_once(images, arguments):
    (message,) = told(small_model(**arguments), np.float32(images))
    assert message.startswith("Images of ") and "0..255" in message


def test_so_are_those_of_single_batches():
    model = small_model()
    with pytest.warns(UserWarning, match=r"Images of .*0\.\.255"):
        model.train_on_batch(np.float32(IMAGES / 255), ORDER)


@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        IMAGES.astype(np.float32),
        IMAGES + np.float32(0.5),
        IMAGES - np.float32(117.3),
        IMAGES // 200,
        np.float32(IMAGES // 200),
        np.zeros_like(IMAGES),
        np.zeros(IMAGES.shape, np.float32),
    ],
    ids=["uint8", "float", "resized", "centred", "dark", "dark float", "black", "0.0"],
)
def test_images_of_bytes_are_not(images):
    assert told(small_model(), images) == []


def test_nor_are_scaled_ones_for_an_encoder_that_does_not_scale():
    assert told(small_model(normalize=False), np.float32(IMAGES / 255)) == []


@pytest.mark.parametrize("arguments", [{}, {"steps_per_epoch": 5}])
def test_classes_given_as_indices_are_told_of_once(arguments):
    (message,) = told(small_model(), indices=np.arange(N) % 5, **arguments)
    assert message.startswith("5 of the bank's 40 rows were visited")
    assert "not its class" in message


def test_so_are_they_on_two_replicas():
    with build_strategy("mirrored").scope():
        model = small_model()
    (message,) = told(model, indices=np.arange(N) % 5)
    assert message.startswith("5 of the bank's 40 rows were visited, 8 times each")


def test_rows_that_no_image_has_are_told_of_once():
    (message,) = told(small_model(), IMAGES[:24], np.arange(24))
    assert "24 of the bank's 40 rows" in message and "16 were not" in message


@pytest.mark.parametrize(
    ("count", "views", "arguments"),
    [
        (N, 1, {}),
        (N, 1, {"batch_size": 12}),  # Each epoch leaves out the last four.
        (N, 2, {}),
        (N, 8, {}),
        (N, 1, {"steps_per_epoch": 1}),
        (N, 1, {"steps_per_epoch": 2}),
        (N, 2, {"steps_per_epoch": 10}),
    ],
)
def test_epochs_views_and_last_batches_are_not(count, views, arguments):
    indices = np.repeat(ORDER, views)[: count * views]
    assert told(small_model(), IMAGES[indices], indices, **arguments) == []


def test_rows_drawn_with_replacement_are_not():
    indices = np.random.default_rng(0).integers(0, N, N)
    assert told(small_model(), IMAGES[indices], indices) == []


def test_looking_leaves_no_weight_and_no_trace_in_files(tmp_path):
    model = small_model()
    told(model)
    names = [weight.path for weight in model.weights]
    assert len(names) == len(small_model().weights)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert told(again) == []
