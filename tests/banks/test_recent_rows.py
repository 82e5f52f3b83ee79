"""Recent rows against float64 NumPy that steps all rows; what they keep and refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import (
    InstanceClassifier,
    InstanceCrossEntropy,
    LearnedRows,
    RecentRows,
    build_encoder,
)
from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.distribution.strategies import build_strategy

N, DIM, BATCH, RECENT, TAU = 12, 5, 4, 6, 0.15
MOMENTUM, DECAY, RATE = 0.8, 0.05, 0.3


def make_rows(num_recent=RECENT):
    """Rows of any length, which already move."""
    arguments = dict(momentum=MOMENTUM, weight_decay=DECAY)
    if num_recent is None:
        rows = LearnedRows(N, DIM, **arguments)
    else:
        rows = RecentRows(N, DIM, num_recent, **arguments)
    rng = np.random.default_rng(0)
    for moved in (rows.rows, rows.velocity):
        moved.write(0, rng.normal(size=(N, DIM)).astype(np.float32))
    return rows


def batches(num_steps):
    rng = np.random.default_rng(1)
    for step in range(num_steps):
        embeddings = rng.normal(size=(BATCH, DIM))
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        indices = rng.permutation(N)[:BATCH]
        if step == 1:
            indices[-1] = indices[0]
        yield embeddings.astype(np.float32), indices


def step_function(rows):
    loss = InstanceCrossEntropy(TAU)

    @tf.function
    def step(embeddings, indices, rate):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            losses = loss(embeddings, indices, bank=rows)
        gradient = tape.gradient(losses, embeddings)
        loss.descend(rows, embeddings, indices, losses, rate)
        return losses, gradient

    return lambda x, indices, rate=RATE: step(
        tf.constant(x), tf.constant(indices), tf.constant(rate)
    )


class Simulation:
    """All rows take every step, those that are not recent without a gradient."""

    def __init__(self, rows):
        self.w = rows.rows.numpy().astype(np.float64)
        self.u = rows.velocity.numpy().astype(np.float64)
        self.recent = list(range(0, N, N // RECENT))  # The longest unvisited first.

    def step(self, embeddings, indices):
        for index in indices:
            if index in self.recent:
                self.recent.remove(index)
            self.recent.append(index)
        self.recent = self.recent[-RECENT:]
        norms = np.linalg.norm(self.w, axis=1, keepdims=True)
        units, x = self.units(), embeddings.astype(np.float64)
        is_recent = np.isin(np.arange(N), self.recent)
        p = np.exp(x @ units.T / TAU) * is_recent
        p /= p.sum(axis=1, keepdims=True)
        y = np.eye(N)[indices]
        of_units = (p - y).T @ x / TAU / len(x)
        along = (of_units * units).sum(axis=1, keepdims=True)
        gradient = (of_units - along * units) / norms
        assert (gradient[~is_recent] == 0).all()
        self.u = MOMENTUM * self.u + gradient + DECAY * self.w
        self.w = self.w - RATE * self.u
        return -np.log(p[np.arange(len(x)), indices]), (p - y) @ units / TAU

    def units(self):
        return self.w / np.linalg.norm(self.w, axis=1, keepdims=True)


@pytest.mark.parametrize("chunk", [RECENT, 4], ids=["one_chunk", "chunks_of_4"])
def test_equals_steps_of_all_rows_in_numpy(chunk, monkeypatch):
    for module in ("banks.row_descent", "losses.one_pass"):
        name = f"npid_tf.{module}.chunk_size"
        monkeypatch.setattr(name, lambda batch, rows: chunk)
    rows = make_rows()
    simulation, step = Simulation(rows), step_function(rows)
    longest = 0
    for embeddings, indices in batches(8):
        losses, gradient = step(embeddings, indices)
        expected, of_embeddings = simulation.step(embeddings, indices)
        np.testing.assert_allclose(losses, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient, of_embeddings, rtol=0, atol=1e-5)
        recent = simulation.recent
        assert sorted(rows.recency.recent.numpy()) == sorted(recent)
        for moved, wanted in (
            (rows.rows, simulation.w),
            (rows.velocity, simulation.u),
        ):
            held = moved.numpy()[recent]
            np.testing.assert_allclose(held, wanted[recent], rtol=0, atol=1e-5)
        # The others make up for their steps when they are read.
        np.testing.assert_allclose(rows.numpy(), simulation.units(), rtol=0, atol=1e-5)
        missed = rows.recency.clock.numpy()[0] - rows.recency.left.numpy()[:, 0]
        longest = max(longest, np.delete(missed, recent).max())
    assert longest >= 3
    stale = rows.rows.numpy()
    assert np.abs(stale - simulation.w).max() > 0.01  # There was something to make up.


def test_as_many_as_there_are_equal_the_exact_classifier():
    exact, recent = make_rows(None), make_rows(N)
    steps = [step_function(rows) for rows in (exact, recent)]
    for batch in batches(3):
        (losses, gradient), others = (step(*batch) for step in steps)
        np.testing.assert_allclose(others[0], losses, rtol=1e-6)
        np.testing.assert_allclose(others[1], gradient, rtol=0, atol=1e-6)
        np.testing.assert_allclose(recent.numpy(), exact.numpy(), rtol=0, atol=1e-6)


def test_changing_rates_count_with_their_mean():
    rows = make_rows()
    step, indices = step_function(rows), np.arange(1, 5)
    w, u = (moved.numpy()[11] for moved in (rows.rows, rows.velocity))
    rates = [0.1, 0.3, 0.2, 0.6]
    for rate in rates:
        step(np.eye(4, DIM, dtype=np.float32), indices, rate)
    for _ in rates:
        u = MOMENTUM * u + DECAY * w
        w = w - np.mean(rates) * u
    assert 11 not in rows.recency.recent.numpy()
    np.testing.assert_allclose(rows.read(11, 12)[0], w / np.linalg.norm(w), atol=1e-6)


def test_outside_of_training_images_are_compared_with_all_rows():
    rows, ((embeddings, indices),) = make_rows(), batches(1)
    before = rows.recency.recent.numpy()
    losses = InstanceCrossEntropy(TAU)(embeddings, indices, bank=rows, training=False)
    scores = embeddings @ make_rows(None).numpy().T / TAU
    expected = np.log(np.exp(scores).sum(1)) - scores[np.arange(BATCH), indices]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_array_equal(rows.recency.recent.numpy(), before)


def test_a_step_reads_no_more_rows_than_are_recent():
    rows, (batch,) = RecentRows(997, DIM, RECENT), batches(1)
    step = InstanceCrossEntropy(TAU)

    @tf.function
    def run(embeddings, indices):
        losses = step(embeddings, indices, bank=rows)
        step.descend(rows, embeddings, indices, losses, tf.constant(RATE))

    graph = run.get_concrete_function(*map(tf.constant, batch)).graph
    operations = graph.get_operations()
    read = [o.outputs[0].shape for o in operations if o.type == "ReadVariableOp"]
    assert {tuple(shape) for shape in read} == {(RECENT,), (2,)}
    sizes = {n for o in operations for t in o.outputs for n in t.shape or []}
    assert RECENT in sizes and 997 not in sizes


def small_model():
    keras.utils.set_random_seed(0)
    images = keras.Input((4, 4, 3))
    encoder = build_encoder(keras.Model(images, keras.layers.Flatten()(images)), DIM)
    rows = RecentRows(N, DIM, RECENT, weight_decay=0.01)
    model = InstanceClassifier(encoder, rows, InstanceCrossEntropy(0.2))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def test_xla_is_refused():
    with pytest.raises(ValueError, match="`jit_compile` is not supported"):
        small_model().compile(jit_compile=True)


def fit(model, epochs):
    images = np.random.default_rng(0).integers(0, 256, (N, 4, 4, 3), np.uint8)
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(N))).batch(BATCH)
    return model.fit(data, epochs=epochs, verbose=0).history["loss"][-1]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder with a model of two epochs, its third loss and the rows after it."""
    model, folder = small_model(), tmp_path_factory.mktemp("saved")
    fit(model, 2)
    model.save(folder / "model.keras")
    Checkpoints(folder, model, {}).save(2, 0)
    return folder, fit(model, 1), model.bank.numpy()


def test_a_keras_file_goes_on_as_the_unsaved_model(saved):
    folder, loss, rows = saved
    model = keras.saving.load_model(folder / "model.keras")
    assert fit(model, 1) == loss
    np.testing.assert_array_equal(model.bank.numpy(), rows)


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_a_checkpoint_goes_on_with_any_number_of_devices(saved, strategy):
    folder, loss, rows = saved
    with build_strategy(strategy).scope():
        model = small_model()
    Checkpoints(folder, model, {}).restore()
    assert fit(model, 1) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(model.bank.numpy(), rows, rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", [0, N + 1])
def test_a_number_of_rows_that_cannot_be_is_refused(number):
    with pytest.raises(ValueError, match=rf"num_recent={number}, num_instances={N}"):
        RecentRows(N, DIM, number)


def test_more_images_than_recent_rows_are_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="Use smaller batches"):
        RecentRows(N, DIM, 3).mark_recent(tf.range(4, dtype=tf.int64))


def test_smoothed_labels_are_refused():
    rows = RecentRows(N, DIM, RECENT)
    with pytest.raises(ValueError, match="Smoothed labels need rows with neighbors"):
        InstanceClassifier(
            keras.Sequential([keras.Input([DIM]), keras.layers.Identity()]),
            rows,
            InstanceCrossEntropy(0.2, 0.2),
        )
