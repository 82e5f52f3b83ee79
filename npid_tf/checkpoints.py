"""Checkpoints of a run: weights, bank, Z, optimizer, position in the data.

A checkpoint is a folder WORKDIR/checkpoints/STEP with the variables (tf.train's
format), the bank (`rows-FIRST.npy`, a file for each device that holds rows of its own)
and `state.json`. It is written beside its place and renamed, so that a folder with a
number is always whole. Nothing in it depends on how many devices wrote it.
"""

import dataclasses
import json
import os
import shutil

import tensorflow as tf

from npid_tf import workers
from npid_tf.bank_files import other_weights, read_bank, write_bank
from npid_tf.data.source import check_unchanged
from npid_tf.errors import FileError, UserError


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run goes on: at `step` of `epoch`, with the epoch's losses so far."""

    epoch: int = 0
    step: int = 0
    loss_tracker: tuple[float, ...] = (0.0, 0.0)  # sum and count


class Checkpoints:
    """Saves and restores a compiled NPID model in `directory`, keeping the last two.

    Where several workers train together, all must call `save` and `restore`, and
    `directory` must be one that they share.

    Args:
        directory: where checkpoints are; made when the first is saved.
        model: compiled NPID.
        fingerprint: dict that identifies the data (see data/source.py).
    """

    NUM_KEPT = 2

    def __init__(self, directory, model, fingerprint):
        self.directory = directory
        self.model = model
        self.fingerprint = fingerprint
        self.strategy = model.distribute_strategy
        self.is_chief = workers.is_chief(self.strategy)

    def save(self, epoch, step):
        """Writes a checkpoint that continues at `step` of `epoch`.

        Raises ValueError where a weight is not finite, OSError where it cannot be
        written; earlier checkpoints stay.
        """
        self._check_finite()
        state = self._state(epoch, step)
        partial = os.path.join(self.directory, ".partial")
        try:
            if self.is_chief:
                shutil.rmtree(partial, ignore_errors=True)
                os.makedirs(partial)
            workers.wait(self.strategy)  # for the folder
            write_bank(self.model.bank, partial)
            if self.is_chief:
                _variables(self.model).write(os.path.join(partial, "variables"))
                with open(os.path.join(partial, "state.json"), "w") as file:
                    json.dump(state, file, indent=1)
            workers.wait(self.strategy)  # for the others' rows
            if self.is_chief:
                self._move_into_place(partial)
            workers.wait(self.strategy)  # for the move: the next save starts afresh
        except workers.LOST:
            raise  # Not of the disk: the other workers were waited for.
        except (OSError, tf.errors.OpError) as error:
            raise FileError(
                f"Could not write a checkpoint to {self.directory}: "
                f"{getattr(error, 'message', error)} Earlier checkpoints are intact; "
                "free some space and run the same command again."
            ) from error
        finally:
            if self.is_chief:
                shutil.rmtree(partial, ignore_errors=True)

    def _move_into_place(self, partial):
        place = os.path.join(self.directory, f"{int(self.model.step.numpy()):09d}")
        if not os.path.exists(place):
            os.rename(partial, place)
        for old in list_checkpoints(self.directory)[: -self.NUM_KEPT]:
            shutil.rmtree(old)

    def restore(self):
        """Restores the newest checkpoint and returns its `Position`.

        None where there is none. Raises ValueError where it belongs to other data or
        another model, saying what differs, or where workers see different ones.
        """
        saved = list_checkpoints(self.directory)
        newest = int(os.path.basename(saved[-1])) if saved else -1
        told = workers.tell(self.strategy, [newest])
        if (told != newest).any():
            raise UserError(
                "The workers see different checkpoints: --workdir must be a folder "
                "that all of them share."
            )
        if not saved:
            return None
        with open(os.path.join(saved[-1], "state.json")) as file:
            state = json.load(file)
        check_unchanged(state["fingerprint"], self.fingerprint)
        restore_variables(saved[-1], self.model)
        return Position(state["epoch"], state["step"], tuple(state["loss_tracker"]))

    def _state(self, epoch, step):
        tracker = self.model.loss_tracker.variables
        return {
            "epoch": epoch,
            "step": step,
            "fingerprint": self.fingerprint,
            "loss_tracker": [float(v.numpy()) for v in tracker],
            "shapes": _shapes(self.model),
        }

    def _check_finite(self):
        for variable in _weights(self.model):
            if variable.dtype.startswith("float") and not bool(
                tf.reduce_all(tf.math.is_finite(variable.value))
            ):
                raise UserError(
                    f"{variable.path} is not finite: training diverged. The last "
                    "checkpoint is kept; try a lower --learning_rate."
                )


def list_checkpoints(directory):
    """Paths of the whole checkpoints in `directory`, oldest first."""
    if not os.path.isdir(directory):
        return []
    names = sorted(name for name in os.listdir(directory) if name.isdigit())
    return [os.path.join(directory, name) for name in names]


def restore_variables(path, model):
    """Reads weights, bank, Z and, where the model is compiled, the optimizer.

    Raises ValueError where shapes differ, naming the first that do.
    """
    _check_shapes(path, _saved_shapes(path), _shapes(model))
    status = _variables(model).read(os.path.join(path, "variables"))
    status.assert_existing_objects_matched().expect_partial()
    read_bank(model.bank, path)


def restore_encoder(path, encoder):
    """Reads the encoder's weights alone, as `restore_variables` does."""
    shapes = [[variable.path, list(variable.shape)] for variable in encoder.variables]
    saved = _saved_shapes(path)[1 : 1 + len(shapes)]  # after the bank's
    _check_shapes(path, saved, shapes)
    status = tf.train.Checkpoint(encoder=encoder).read(os.path.join(path, "variables"))
    status.assert_existing_objects_matched().expect_partial()


def _saved_shapes(path):
    with open(os.path.join(path, "state.json")) as file:
        return json.load(file)["shapes"]


def _check_shapes(path, saved, shapes):
    different = [
        f"{name} is {shape} in the checkpoint, {now} in the model"
        for (name, shape), (_, now) in zip(saved, shapes, strict=False)
        if shape != now
    ]
    if len(saved) != len(shapes):
        different.append(
            f"{len(saved)} weights in the checkpoint, {len(shapes)} in the model"
        )
    if different:
        raise UserError(
            f"The checkpoint {path} is of another model: {'; '.join(different[:3])}"
            f"{'; ...' if len(different) > 3 else ''}. Use the flags it was trained "
            "with, or another --workdir."
        )


def _variables(model):
    """All that training changes but rows, which may be on several devices."""
    parts = {
        "encoder": model.encoder,
        "loss": model.instance_loss,
        "step": model.step,
        "optimizer": getattr(model, "optimizer", None),  # none before `compile`
        **other_weights(model.bank),
    }
    return tf.train.Checkpoint(
        **{key: part for key, part in parts.items() if part is not None}
    )


def _shapes(model):
    bank = model.bank
    shapes = [[bank.name, [bank.num_instances, bank.embedding_dim]]]
    return shapes + [[v.path, list(v.shape)] for v in _weights(model)]


def _weights(model):
    of_bank = other_weights(model.bank).values()
    return [*model.encoder.variables, *model.instance_loss.variables, *of_bank]
