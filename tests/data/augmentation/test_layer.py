"""`npid_tf.Augmentation` in a data set, in a model, and saved with it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.augmentation.layer import Augmentation
from npid_tf.data.preprocess import preprocess_for_eval
from npid_tf.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 20, 24, 3), np.uint8)


def test_every_call_gives_other_views_and_a_seed_the_same_again():
    layer, again = (Augmentation("moco_v2", image_size=16, seed=3) for _ in range(2))
    first, second = layer(IMAGES).numpy(), layer(IMAGES).numpy()
    assert first.shape == (8, 16, 16, 3) and first.dtype == np.uint8
    assert np.any(first != second, axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(again(IMAGES), first)
    np.testing.assert_array_equal(again(IMAGES), second)


def test_images_of_a_batch_have_draws_of_their_own():
    same = np.repeat(IMAGES[:1], 8, axis=0)
    views = Augmentation("moco_v2", image_size=16, seed=3)(same).numpy()
    assert len(np.unique(views.reshape(8, -1), axis=0)) == 8


def test_in_inference_it_gives_the_central_square():
    layer = Augmentation("moco_v2", image_size=16)
    expected = preprocess_for_eval(tf.constant(IMAGES), 16, 1.0)
    np.testing.assert_array_equal(layer(IMAGES, training=False), expected)


def test_without_steps_it_gives_the_central_square_in_training_too():
    layer = Augmentation("none", image_size=16)
    np.testing.assert_array_equal(layer(IMAGES), layer(IMAGES, training=False))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_other_dtypes_are_0_to_255_too(dtype):
    views = Augmentation("npid", image_size=16, seed=3)(IMAGES.astype(dtype))
    expected = Augmentation("npid", image_size=16, seed=3)(IMAGES)
    np.testing.assert_array_equal(views, expected)


def test_one_image_in_a_data_set_of_images_of_many_sizes():
    layer = Augmentation("moco_v2", image_size=16)

    def images():
        yield IMAGES[0]
        yield IMAGES[1, :11]

    spec = tf.TensorSpec([None, None, 3], tf.uint8)
    dataset = tf.data.Dataset.from_generator(images, output_signature=spec)
    views = list(dataset.map(layer).batch(2))
    assert views[0].shape == (2, 16, 16, 3)


def test_batches_in_a_data_set_are_new_in_every_epoch():
    dataset = tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)
    dataset = dataset.map(Augmentation("moco_v2", image_size=16))
    first, second = (np.concatenate(list(dataset)) for _ in range(2))
    assert np.any(first != second)


def test_in_a_model_it_augments_in_fit_and_not_in_predict(tmp_path):
    inputs = keras.Input([20, 24, 3], dtype="uint8")
    views = Augmentation("moco_v2", image_size=16, seed=3)(inputs)
    assert (views.shape, views.dtype) == ((None, 16, 16, 3), "uint8")
    means = keras.layers.GlobalAveragePooling2D()(keras.ops.cast(views, "float32"))
    model = keras.Model(inputs, keras.layers.Dense(1)(means))
    model.compile("sgd", "mse")
    model.fit(IMAGES, np.zeros(8), verbose=0)
    given = model.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), given)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), given)
    layer = loaded.get_layer(views._keras_history.operation.name)
    assert (layer.recipe, layer.image_size, layer.seed) == ("moco_v2", 16, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"recipe": "moco"}, "Unknown augmentation 'moco'. Known: npid"),
        ({"recipe": None}, "Unknown augmentation None"),
        ({"jitter": "rgb"}, "Unknown jitter 'rgb'"),
        ({"image_size": 16.0}, "`image_size` must be an integer"),
        ({"seed": "3"}, "`seed` must be an integer"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changed, message):
    arguments = {"recipe": "npid", "image_size": 16, **changed}
    with pytest.raises(UserError, match=message):
        Augmentation(arguments.pop("recipe"), **arguments)


@pytest.mark.parametrize("images", [IMAGES[..., :1], IMAGES[0, 0], np.array(["a"])])
def test_what_is_no_image_is_refused_in_words(images):
    with pytest.raises(UserError, match=r"`images` must be numbers 0..255"):
        Augmentation("npid", image_size=16).call(images)
