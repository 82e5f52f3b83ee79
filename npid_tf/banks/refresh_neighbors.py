"""Keeps the neighbors that smoothed labels are shared with up to date."""

import keras
import numpy as np

from npid_tf.banks.rows import ROWS_AT_ONCE
from npid_tf.errors import UserError
from npid_tf.search.nearest import nearest


class RefreshNeighbors(keras.callbacks.Callback):
    """Finds the rows nearest to each row, exactly, once an epoch (Liu et al. 2021).

    At the end of the epoch, so that a checkpoint holds those of the next one; at the
    start of `fit` where there are none yet. Needs a model whose bank is `LearnedRows`
    with neighbors. n x n similarities are computed, in blocks; memory grows with n
    times the dimension.

    Example:

    >>> rows = npid_tf.LearnedRows(1000, embedding_dim=128, num_neighbors=10)
    >>> loss = npid_tf.InstanceCrossEntropy(temperature=0.15, smoothing=0.2)
    >>> callbacks = [npid_tf.RefreshNeighbors()]  # model.fit(..., callbacks=callbacks)
    """

    def on_train_begin(self, logs=None):
        bank = self.model.bank
        _check_has_room(bank)
        if not bank.has_neighbors():
            refresh_neighbors(bank)

    def on_epoch_end(self, epoch, logs=None):
        refresh_neighbors(self.model.bank)


def refresh_neighbors(bank):
    """Writes bank.neighbors: for each row the nearest others, the nearest first.

    Raises UserError for a bank that keeps none.
    """
    _check_has_room(bank)
    rows = bank.numpy()
    for first, end, _ in bank.neighbors.parts():  # Each worker does those it holds.
        for start in range(first, end, ROWS_AT_ONCE):
            numbers = np.arange(start, min(start + ROWS_AT_ONCE, end))
            _, found = nearest(rows[numbers], rows, bank.num_neighbors + 1)
            bank.neighbors.write(start, _without(found, numbers))


def _check_has_room(bank):
    if not getattr(bank, "num_neighbors", 0):
        raise UserError(
            "Neighbors are kept by LearnedRows(..., num_neighbors=K). Received: a "
            f"{type(bank).__name__} that keeps none."
        )


def _without(found, numbers):
    """int32 [rows, K + 1] -> [rows, K]: without the row's own number, or the last."""
    is_own = found == numbers[:, None]
    is_own[~is_own.any(axis=1), -1] = True  # Equal rows before it took its place.
    return found[~is_own].reshape(len(found), -1)
