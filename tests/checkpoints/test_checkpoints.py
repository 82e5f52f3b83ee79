"""Checkpoints: whole or not there, and refused where they do not fit."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from npid_tf import NPID, MemoryBank, NonparametricSoftmax, build_encoder
from npid_tf.checkpoints.checkpoints import Checkpoints
from npid_tf.checkpoints.files import list_checkpoints
from npid_tf.checkpoints.weights import restore_encoder

FINGERPRINT = {"name": "toy", "num_instances": 8}


def make_model(dim=3):
    inputs = keras.Input([2, 2, 3])
    backbone = keras.Model(inputs, keras.layers.Flatten()(inputs))
    model = NPID(
        build_encoder(backbone, dim), MemoryBank(8, dim), NonparametricSoftmax()
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def fit_a_step(model):
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 2, 3), np.uint8)
    model.fit(images, np.arange(8), batch_size=8, shuffle=False, verbose=0)


def test_restored_equals_saved_with_the_optimizer(tmp_path):
    model, other = make_model(), make_model()
    fit_a_step(model)
    Checkpoints(tmp_path, model, FINGERPRINT).save(1, 2)
    position = Checkpoints(tmp_path, other, FINGERPRINT).restore()
    assert (position.epoch, position.step) == (1, 2)
    fit_a_step(model)
    fit_a_step(other)
    for saved, restored in zip(
        model.variables + model.optimizer.variables,
        other.variables + other.optimizer.variables,
        strict=True,
    ):
        np.testing.assert_array_equal(saved.numpy(), restored.numpy())


def test_nothing_saved_restores_nothing(tmp_path):
    assert Checkpoints(tmp_path / "none", make_model(), FINGERPRINT).restore() is None


def test_the_last_two_are_kept(tmp_path):
    model = make_model()
    checkpoints = Checkpoints(tmp_path, model, FINGERPRINT)
    for epoch in range(4):
        model.step.assign(epoch)
        checkpoints.save(epoch, 0)
    assert [os.path.basename(p) for p in list_checkpoints(tmp_path)] == [
        "000000002",
        "000000003",
    ]


def test_a_full_disk_keeps_earlier_checkpoints_and_says_so(tmp_path, monkeypatch):
    model = make_model()
    checkpoints = Checkpoints(tmp_path, model, FINGERPRINT)
    checkpoints.save(0, 0)

    def fill_disk(self, path):
        with open(f"{path}.data", "w") as file:
            file.write("half a")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", fill_disk)
    model.step.assign(1)
    with pytest.raises(OSError, match=r"No space left.*Earlier checkpoints are intact"):
        checkpoints.save(1, 0)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["000000000"]
    assert Checkpoints(tmp_path, make_model(), FINGERPRINT).restore().epoch == 0


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    model = make_model()
    model.encoder.trainable_variables[0].assign(
        np.full(model.encoder.trainable_variables[0].shape, np.nan)
    )
    with pytest.raises(ValueError, match="not finite"):
        Checkpoints(tmp_path, model, FINGERPRINT).save(0, 0)
    assert list_checkpoints(tmp_path) == []


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
    os.makedirs(tmp_path / ".partial")
    assert list_checkpoints(tmp_path) == []


def test_another_shape_is_refused_by_name(tmp_path):
    Checkpoints(tmp_path, make_model(), FINGERPRINT).save(0, 0)
    with pytest.raises(ValueError, match=r"another model.*\[8, 3\].*\[8, 4\]"):
        Checkpoints(tmp_path, make_model(dim=4), FINGERPRINT).restore()


def test_the_encoder_is_restored_without_bank_and_loss(tmp_path):
    model, other = make_model(), make_model()
    fit_a_step(model)
    Checkpoints(tmp_path, model, FINGERPRINT).save(0, 0)
    restore_encoder(tmp_path, other.encoder)
    saved, restored = model.encoder.variables, other.encoder.variables
    for first, second in zip(saved, restored, strict=True):
        np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert (model.bank.numpy() != other.bank.numpy()).any()
    with pytest.raises(ValueError, match=r"another model.* 3\] in .* 4\] in the model"):
        restore_encoder(tmp_path, make_model(dim=4).encoder)


def test_other_data_are_refused_by_name(tmp_path):
    Checkpoints(tmp_path, make_model(), FINGERPRINT).save(0, 0)
    with pytest.raises(ValueError, match="num_instances was 8, now 9"):
        Checkpoints(
            tmp_path, make_model(), {"name": "toy", "num_instances": 9}
        ).restore()


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.1),
        lambda: keras.optimizers.SGD(0.1),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2),
    ],
)
def test_another_optimizer_is_refused_in_words(tmp_path, optimizer):
    Checkpoints(tmp_path, make_model(), FINGERPRINT).save(0, 0)
    model = make_model()
    model.compile(optimizer())
    with pytest.raises(ValueError, match=r"another optimizer\. Use the --optimizer"):
        Checkpoints(tmp_path, model, FINGERPRINT).restore()
