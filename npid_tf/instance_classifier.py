"""`InstanceClassifier`: a class for every image (Liu et al., AAAI 2021)."""

from typing import Any

import keras
import tensorflow as tf

from npid_tf.banks.learned_rows import LearnedRows
from npid_tf.banks.recent_rows import RecentRows
from npid_tf.banks.refresh_neighbors import RefreshNeighbors, refresh_neighbors
from npid_tf.checks.arguments import finite_number
from npid_tf.errors import UserError
from npid_tf.keras_calls.configs import config_of
from npid_tf.keras_calls.parts import check_learned, check_parts
from npid_tf.losses import InstanceCrossEntropy
from npid_tf.npid import NPID


@keras.saving.register_keras_serializable("npid_tf")
class InstanceClassifier(NPID):
    """Learns a weight vector for every image beside the encoder, by classification.

    Used as `NPID` is: `fit`, `predict`, callbacks, strategies. The rows follow SGD with
    the learning rate that the optimizer has in the step, times `row_learning_rate`.
    Where labels are smoothed, `fit` keeps the rows' neighbors up to date.

    Args:
        encoder: model from images to unit embeddings (see `build_encoder`).
        bank: LearnedRows, or RecentRows, of the encoder's dimension.
        loss: InstanceCrossEntropy; smoothed only where the rows have neighbors.
        row_learning_rate: times the encoder's. The gradient of a row is 1 / batch size
            of an image's, so that rows of unit length move slowly at 1.
        weight_decay, seed: as of `NPID`.

    Raises:
        UserError: where encoder and bank differ in dimension, or labels are to be
            smoothed over rows without neighbors.

    Example:

    >>> import keras, numpy as np, npid_tf
    >>> backbone = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Flatten()])
    >>> encoder = npid_tf.build_encoder(backbone, embedding_dim=16)
    >>> rows = npid_tf.LearnedRows(num_instances=100, embedding_dim=16)
    >>> loss = npid_tf.InstanceCrossEntropy(temperature=0.15)
    >>> model = npid_tf.InstanceClassifier(encoder, rows, loss, row_learning_rate=10.0)
    >>> model(np.zeros([2, 8, 8, 3], np.uint8)).shape
    TensorShape([2, 16])
    """

    def __init__(
        self,
        encoder: keras.Model,
        bank: LearnedRows | RecentRows,
        loss: InstanceCrossEntropy,
        *,
        row_learning_rate: float = 1.0,
        weight_decay: float = 0.0,
        seed: int = 0,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ):
        super().__init__(
            encoder,
            bank,
            loss,
            weight_decay=weight_decay,
            seed=seed,
            name=name,
            trainable=trainable,
            dtype=dtype,
        )
        self.row_learning_rate = finite_number("row_learning_rate", row_learning_rate)

    def _check_parts(self, encoder, bank, loss):
        check_learned(bank, loss)
        check_parts(encoder, bank, loss)

    def _own_callbacks(self, callbacks, steps_per_epoch):
        own = super()._own_callbacks(callbacks, steps_per_epoch)
        refreshes = any(isinstance(each, RefreshNeighbors) for each in callbacks)
        if self.instance_loss.smoothing and not refreshes:
            own.append(RefreshNeighbors())
        return own

    def make_train_function(self, force=False):
        if self.instance_loss.smoothing and not self.bank.has_neighbors():
            refresh_neighbors(self.bank)
        return super().make_train_function(force)

    def make_test_function(self, force=False):
        if self.instance_loss.smoothing and not self.bank.has_neighbors():
            raise UserError(
                "Labels cannot be smoothed yet: the rows have no neighbors. Train "
                "first, or call "
                "`npid_tf.banks.refresh_neighbors.refresh_neighbors(model.bank)`."
            )
        return super().make_test_function(force)

    def _move_rows(self, embeddings, indices, losses):
        rate = self.row_learning_rate * self.optimizer.learning_rate
        self.instance_loss.descend(
            self.bank, embeddings, indices, losses, tf.convert_to_tensor(rate)
        )

    def get_config(self):
        return {**config_of(self), "row_learning_rate": self.row_learning_rate}
