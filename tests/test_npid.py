"""NPID in Keras's `fit`, `evaluate` and `predict`, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import (
    NCE,
    NPID,
    MemoryBank,
    NonparametricSoftmax,
    PerSampleNegatives,
    SampledSoftmax,
    SharedNegatives,
    build_encoder,
)
from npid_tf.distribution.strategies import build_strategy

NUM_INSTANCES = 21  # Batches of 8 leave an uneven last one.
IMAGES = np.random.default_rng(0).integers(0, 256, (NUM_INSTANCES, 6, 6, 3), np.uint8)
INDICES = np.random.default_rng(1).permutation(NUM_INSTANCES)

LOSSES = {
    "softmax": lambda: NonparametricSoftmax(0.2),
    "nce": lambda: NCE(SharedNegatives(NUM_INSTANCES, 8), 0.2, z_decay=0.9),
    "sampled": lambda: SampledSoftmax(PerSampleNegatives(NUM_INSTANCES, 8), 0.2),
}


class NoLoss(keras.layers.Layer):
    """Leaves the other terms of the objective alone."""

    def call(self, embeddings, indices, bank, seed, training):
        return 0.0 * tf.reduce_sum(embeddings, axis=1)


def small_encoder(embedding_dim=5, **arguments):
    images = keras.Input((6, 6, 3))
    maps = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(images)
    return build_encoder(keras.Model(images, maps), embedding_dim, **arguments)


def small_model(loss="softmax", bank_momentum=0.3, encoder=None, **arguments):
    """Always with the same first weights and bank."""
    keras.utils.set_random_seed(0)
    return NPID(
        encoder or small_encoder(),
        MemoryBank(NUM_INSTANCES, 5, bank_momentum),
        LOSSES[loss]() if isinstance(loss, str) else loss,
        **arguments,
    )


def sgd(learning_rate=0.1, **arguments):
    return keras.optimizers.SGD(learning_rate, momentum=0.9, **arguments)


def batches(batch_size=8):
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, INDICES))
    return dataset.batch(batch_size)


def state(model):
    """All weights, the bank and Z among them."""
    return [np.array(weight) for weight in model.get_weights()]


def assert_same_state(model, other, rtol=0.0, atol=0.0):
    for weight, expected in zip(state(model), state(other), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=rtol, atol=atol)


def embeddings_and_gradients(model, images, indices):
    """Embeddings, and the gradient of the mean loss in each weight of the encoder."""
    with tf.GradientTape() as tape:
        embeddings = model(images, training=True)
        seed = tf.stack([tf.constant(model.seed, tf.int64), model.step.value])
        losses = model.instance_loss(embeddings, indices, bank=model.bank, seed=seed)
        mean = tf.reduce_mean(losses)
    gradients = tape.gradient(mean, model.encoder.trainable_variables)
    return embeddings.numpy(), [gradient.numpy() for gradient in gradients]


def test_a_step_compares_with_the_old_rows_and_then_moves_them():
    model = small_model(bank_momentum=0.3)
    model.compile(sgd())
    old = model.bank.numpy().astype(np.float64)
    images, indices = IMAGES[:8], INDICES[:8]
    embeddings = model.predict(images, verbose=0).astype(np.float64)

    loss = model.train_on_batch(images, indices)

    logits = embeddings @ old.T / 0.2
    own = logits[np.arange(8), indices]
    expected_loss = np.mean(np.log(np.exp(logits).sum(axis=1)) - own)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    expected = old.copy()
    expected[indices] = 0.3 * old[indices] + 0.7 * embeddings
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(model.bank.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_weight_decay_is_added_to_the_gradient_as_in_pytorch():
    model = small_model(weight_decay=0.05)
    model.compile(keras.optimizers.SGD(0.2, momentum=0.9))
    weights = [w.numpy().astype(np.float64) for w in model.trainable_variables]
    velocities = [np.zeros_like(w) for w in weights]
    for start in (0, 8):
        batch = IMAGES[start : start + 8], INDICES[start : start + 8]
        _, gradients = embeddings_and_gradients(model, *batch)
        velocities = [
            0.9 * velocity + gradient + 0.05 * weight
            for velocity, gradient, weight in zip(
                velocities, gradients, weights, strict=True
            )
        ]
        weights = [w - 0.2 * v for w, v in zip(weights, velocities, strict=True)]
        model.train_on_batch(*batch)
    for weight, expected in zip(model.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_proximal_term_is_the_squared_distance_to_the_old_row():
    plain, proximal = small_model(), small_model(proximal_weight=3.0)
    moved = plain.predict(IMAGES, verbose=0) - plain.bank.numpy()[INDICES]
    losses = []
    for model in (plain, proximal):
        model.compile(sgd())
        losses.append(model.evaluate(batches(), verbose=0))
    expected = losses[0] + 3.0 * np.square(moved.astype(np.float64)).sum(axis=1).mean()
    np.testing.assert_allclose(losses[1], expected, rtol=1e-5)


def test_proximal_term_pulls_embeddings_to_their_rows():
    model = small_model(NoLoss(), bank_momentum=0.9999, proximal_weight=1.0)
    model.compile(keras.optimizers.SGD(0.5))
    first, *_, last = model.fit(batches(), epochs=10, verbose=0).history["loss"]
    assert last < 0.8 * first


def test_penalties_of_a_users_backbone_count():
    images = keras.Input((6, 6, 3))
    layer = keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(0.5))
    backbone = keras.Model(images, layer(images))
    model = small_model(NoLoss(), encoder=build_encoder(backbone, 5))
    model.compile(keras.optimizers.SGD(0.1))
    before = layer.kernel.numpy()
    model.train_on_batch(IMAGES[:8], INDICES[:8])
    # The penalty .5 ||w||^2 has the gradient w.
    np.testing.assert_allclose(layer.kernel.numpy(), 0.9 * before, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_fit_lowers_the_loss_and_predict_gives_unit_rows(loss):
    model = small_model(loss)
    model.compile(sgd())
    losses = model.fit(batches(), epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert int(model.step) == 8 * 3
    embeddings = model.predict(IMAGES, verbose=0)
    assert embeddings.shape == (NUM_INSTANCES, 5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_evaluate_and_predict_change_nothing():
    model = small_model("nce")
    model.compile(sgd())
    model.fit(batches(), verbose=0)
    before = state(model)
    model.evaluate(batches(), verbose=0)
    model.predict(IMAGES, verbose=0)
    for weight, expected in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_every_step_draws_other_negatives():
    model = small_model("sampled", bank_momentum=0.9999999)
    model.compile(keras.optimizers.SGD(0.0))
    first, second = (model.train_on_batch(IMAGES[:8], INDICES[:8]) for _ in range(2))
    assert abs(float(first) - float(second)) > 1e-3


@pytest.mark.parametrize("maps", [True, False], ids=["maps", "features"])
def test_a_users_own_backbone_is_trained(maps):
    images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(7, 3, activation="relu", name="mine")(images)
    backbone = keras.Model(images, x if maps else keras.layers.Flatten()(x))
    model = small_model(encoder=build_encoder(backbone, 5))
    before = backbone.get_layer("mine").kernel.numpy()
    model.compile(sgd())
    losses = model.fit(batches(), epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert np.abs(backbone.get_layer("mine").kernel.numpy() - before).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_bank_and_embeddings_in_float32(policy):
    keras.mixed_precision.set_global_policy(policy)
    model = small_model(
        "nce", encoder=small_encoder(batch_norm_before_l2=True), weight_decay=1e-3
    )
    model.compile(sgd(0.05))
    losses = model.fit(batches(), epochs=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert model.bank.vectors.dtype == model.instance_loss.z.dtype == "float32"
    embeddings = model(IMAGES)
    assert embeddings.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert {w.dtype for w in model.trainable_variables} == {"float32"}


def test_accumulated_gradients_equal_a_doubled_batch():
    # The bank stands still, since it moves after each batch, accumulated or not.
    doubled, accumulated = (
        small_model(bank_momentum=0.9999999, weight_decay=0.01) for _ in range(2)
    )
    doubled.compile(sgd())
    doubled.fit(batches(8).take(2), epochs=2, verbose=0)
    accumulated.compile(sgd(gradient_accumulation_steps=2))
    accumulated.fit(batches(4).take(4), epochs=2, verbose=0)
    for weight, expected in zip(
        accumulated.trainable_variables, doubled.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(weight.numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        ("softmax", {"steps_per_execution": 3}),
        ("nce", {"steps_per_execution": 3}),
        ("softmax", {"run_eagerly": True}),
        ("nce", {"run_eagerly": True}),
        ("softmax", {"jit_compile": True}),
    ],
)
def test_ways_to_run_give_the_same_result(loss, arguments):
    plain, other = small_model(loss), small_model(loss)
    plain.compile(sgd())
    other.compile(sgd(), **arguments)
    dataset = batches(batch_size=5)  # 5 steps, not a multiple of 3.
    expected = plain.fit(dataset, epochs=2, verbose=0).history["loss"]
    losses = other.fit(dataset, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert_same_state(other, plain, rtol=1e-5, atol=1e-6)


def test_the_step_is_traced_once():
    traces = []

    class CountedSoftmax(NonparametricSoftmax):
        def call(self, embeddings, indices, bank, seed=None, training=True):
            traces.append(None)
            return super().call(embeddings, indices, bank)

    model = small_model(CountedSoftmax())
    model.compile(sgd())
    model.fit(batches().take(1), verbose=0)
    after_first_step = len(traces)
    assert after_first_step > 0
    model.fit(batches(), epochs=3, verbose=0)
    assert len(traces) == after_first_step


def test_weights_round_trip(tmp_path):
    model, again = small_model("nce"), small_model("nce")
    model.compile(sgd())
    model.fit(batches(), verbose=0)
    model.save_weights(tmp_path / "npid.weights.h5")
    again.load_weights(tmp_path / "npid.weights.h5")
    assert_same_state(again, model)
    assert int(again.step) == 3
    assert again.instance_loss.z.numpy() > 0


@pytest.mark.parametrize("loss", ["softmax", "nce"])
def test_a_loaded_model_trains_on_as_the_saved_one(loss, tmp_path):
    model = small_model(loss, proximal_weight=0.1, weight_decay=0.01, seed=5)
    model.compile(sgd())
    model.fit(batches(), verbose=0)
    model.save(tmp_path / "npid.keras")
    again = keras.models.load_model(tmp_path / "npid.keras")
    assert_same_state(again, model)
    np.testing.assert_array_equal(
        again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0)
    )
    for trained in (model, again):
        trained.fit(batches(), verbose=0)
    assert_same_state(again, model)


@pytest.fixture
def two_replicas():
    strategy = build_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2
    return strategy


@pytest.mark.parametrize(
    "setting",
    [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"gradient_accumulation_steps": 2}],
)
def test_settings_that_differ_between_replicas_are_refused(two_replicas, setting):
    (name,) = setting
    with two_replicas.scope():
        model = small_model()
    message = f"optimizer's `{name}` is not supported on more than one replica"
    with pytest.raises(ValueError, match=message):
        model.compile(sgd(**setting))


@pytest.mark.parametrize("setting", [{"jit_compile": True}, {"steps_per_execution": 2}])
def test_ways_to_run_that_replicas_cannot_are_refused(two_replicas, setting):
    (name,) = setting
    with two_replicas.scope():
        model = small_model()
    with pytest.raises(ValueError, match=f"`{name}` is not supported on more than one"):
        model.compile(sgd(), **setting)


def test_a_batch_too_small_for_all_replicas_is_refused(two_replicas):
    with two_replicas.scope():
        model = small_model()
        model.compile(sgd())
    with pytest.raises(tf.errors.InvalidArgumentError, match="A replica got no image"):
        model.fit(batches().take(1).unbatch().take(1).batch(8), verbose=0)


def test_keras_still_calls_the_hook_that_npid_overrides():
    # NPID overrides a private method; where Keras renames it, `fit` fails on replicas.
    called = []

    class Watched(NPID):
        def _maybe_symbolic_build(self, *arguments, **keywords):
            called.append(None)

    assert callable(keras.Model._maybe_symbolic_build)
    model = Watched(small_encoder(), MemoryBank(NUM_INSTANCES, 5), LOSSES["softmax"]())
    model.compile(sgd())
    model.fit(batches(), verbose=0)
    assert len(called) == 1
    model.evaluate(batches(), verbose=0)
    assert len(called) == 2


def test_encoder_and_bank_must_agree():
    message = "encoder's dimension. Received: 5, and an encoder of 7"
    with pytest.raises(ValueError, match=message):
        small_model(encoder=small_encoder(embedding_dim=7))


@pytest.mark.parametrize("argument", ["loss", "metrics", "weighted_metrics"])
def test_losses_and_metrics_of_compile_are_refused(argument):
    message = f"NPID takes its loss when it is made; `{argument}` must be None"
    with pytest.raises(ValueError, match=message):
        small_model().compile(sgd(), **{argument: ["mse"]})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((IMAGES,), "batches of .images, indices.*Received: images alone"),
        ((IMAGES, INDICES, np.ones(NUM_INSTANCES)), "Received: sample weights as well"),
        ((IMAGES, INDICES.astype("float32")), "must be integers.*Received: float32"),
    ],
)
def test_other_batches_are_refused(data, message):
    model = small_model()
    model.compile(sgd())
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(8)
    with pytest.raises(ValueError, match=message):
        model.fit(dataset, verbose=0)


@pytest.mark.parametrize(
    ("dtype", "run_eagerly"), [("uint8", False), ("int32", False), ("int64", True)]
)
def test_indices_may_be_any_integers(dtype, run_eagerly):
    model = small_model("nce")
    model.compile(sgd(), run_eagerly=run_eagerly)
    loss = model.train_on_batch(IMAGES[:8], INDICES[:8].astype(dtype))
    assert np.isfinite(loss)
