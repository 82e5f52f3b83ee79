"""Checkpoints of a run: weights, bank, Z, optimizer, position in the data.

A checkpoint is a folder WORKDIR/checkpoints/STEP with the variables (tf.train's
format), the bank (`rows-FIRST.npy`, a file for each device that holds rows of its own),
`state.json` and the manifest of them all (see `checkpoint_files.py`). It is written
beside its place, put on disk and renamed, so that a folder with a number is always
whole. Nothing in it depends on how many devices wrote it.
"""

import json
import os
import shutil

import tensorflow as tf

from npid_tf.banks.files import list_rows, write_bank
from npid_tf.checkpoints.files import (
    STATE,
    find_missing,
    list_checkpoints,
    newest_whole,
    read_state,
    remove,
    set_aside,
    write_manifest,
)
from npid_tf.checkpoints.manifests import keep_manifest, remove_unneeded
from npid_tf.checkpoints.position import Position
from npid_tf.checkpoints.weights import (
    optimizer_shapes,
    raise_unless_removed,
    restore_variables,
    shapes_of,
    variables_of,
    weights_of,
)
from npid_tf.data.sources.source import check_unchanged
from npid_tf.distribution import workers
from npid_tf.errors import FileError, UserError
from npid_tf.files.formats import stamp
from npid_tf.files.whole_files import move_folder


class Checkpoints:
    """Saves and restores a compiled NPID model in `directory`, keeping the last two.

    Where several workers train together, all must call `save` and `restore`, and
    `directory` must be one that they share.

    Args:
        directory: where checkpoints are; made when the first is saved.
        model: compiled NPID.
        fingerprint: dict that identifies the data (see data/source.py).
        batch_size: images of a step, which tells how many a run has seen; None where
            the run has not begun.
        manifest: which images these are (see data/sources/manifest.py), kept beside
            `directory` as long as a checkpoint is of them; None: of another kind.
    """

    NUM_KEPT = 2

    def __init__(self, directory, model, fingerprint, batch_size=None, manifest=None):
        self.directory = directory
        self.manifest = manifest
        self.model = model
        self.fingerprint = fingerprint
        self.batch_size = batch_size
        self.strategy = model.distribute_strategy
        self.is_chief = workers.is_chief(self.strategy)

    def save(self, epoch, step):
        """Writes a checkpoint that continues at `step` of `epoch`.

        Raises ValueError where a weight is not finite, or where the folder holds those
        of another run; OSError where it cannot be written. Earlier checkpoints stay.
        """
        self._check_finite()
        number = int(self.model.step.numpy())
        self._check_is_next(number)
        state = self._state(epoch, step)
        partial = os.path.join(self.directory, ".partial")
        try:
            if self.is_chief:
                shutil.rmtree(partial, ignore_errors=True)
                os.makedirs(partial)
            workers.barrier(self.strategy)  # for the folder
            write_bank(self.model.bank, partial)
            if self.is_chief:
                variables_of(self.model).write(os.path.join(partial, "variables"))
                with open(os.path.join(partial, STATE), "w") as file:
                    json.dump(state, file, indent=1)
            workers.barrier(self.strategy)  # for the others' rows
            if self.is_chief:
                self._move_into_place(partial, number)
            workers.barrier(self.strategy)  # for the move: the next save starts afresh
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

    def _check_is_next(self, number):
        saved = list_checkpoints(self.directory)
        newest = int(os.path.basename(saved[-1])) if saved else -1
        if newest >= number:
            raise UserError(
                f"{self.directory} holds a checkpoint of step {newest}, and this model "
                f"is at step {number}: it is of another run, or nothing was learned "
                "since. Call `restore` before `fit`, or use another directory."
            )

    def _move_into_place(self, partial, number):
        list_rows(partial, self.model.bank.num_instances)  # All workers' are there.
        write_manifest(partial)
        if self.manifest is not None:
            keep_manifest(self.directory, self.fingerprint, self.manifest)
        move_folder(partial, os.path.join(self.directory, f"{number:09d}"))
        for old in list_checkpoints(self.directory)[: -self.NUM_KEPT]:
            remove(old)
        if self.manifest is not None:
            remove_unneeded(self.directory)

    def restore(self, pass_over=set_aside):
        """Restores the newest whole checkpoint and returns its `Position`.

        None where there is none. All of it is checked before a weight of the model
        changes.

        Args:
            pass_over: called with the path and what is wrong of each damaged one that
                is newer: `set_aside` renames it; `leave`, for those who only read the
                folder, does not.

        Raises ValueError where it belongs to other data or another model, saying what
        differs, where workers see different ones, or where all are damaged.
        """
        path = choose(self.directory, self.strategy, pass_over)
        if path is None:
            return None
        try:
            check_unchanged(read_state(path)["fingerprint"], self.fingerprint)
            return self.restore_from(path)
        except (OSError, tf.errors.OpError) as error:
            raise_unless_removed(path, error)
            return self.restore(pass_over)

    def restore_from(self, path, kept=None):
        """Restores the checkpoint at `path`, whatever images it is of.

        kept: bool [its images], those that the bank still has; None: all. The rows of
            others begin as those of a new model.
        """
        state = read_state(path)
        restore_variables(path, self.model, kept)
        return Position(
            state["epoch"],
            state["step"],
            tuple(state["loss_tracker"]),
            state.get("batch_size"),
        )

    def _state(self, epoch, step):
        tracker = self.model.loss_tracker.variables
        return {
            **stamp("checkpoint"),
            "epoch": epoch,
            "step": step,
            "batch_size": self.batch_size,
            "fingerprint": self.fingerprint,
            "loss_tracker": [float(v.numpy()) for v in tracker],
            "shapes": shapes_of(self.model),
            "optimizer": optimizer_shapes(self.model),
        }

    def _check_finite(self):
        for variable in weights_of(self.model):
            if variable.dtype.startswith("float") and not bool(
                tf.reduce_all(tf.math.is_finite(variable.value))
            ):
                raise UserError(
                    f"{variable.path} is not finite: training diverged. The last "
                    "checkpoint is kept; try a lower --learning_rate."
                )


def choose(directory, strategy, pass_over=set_aside):
    """Path of the newest whole checkpoint, the same on all workers, who must all call
    it; None where there is none. Arguments and errors: as of `Checkpoints.restore`."""
    saved = list_checkpoints(directory)
    newest = int(os.path.basename(saved[-1])) if saved else -1
    if (workers.all_gather(strategy, [newest]) != newest).any():
        raise UserError(
            "The workers see different checkpoints: --workdir must be a folder that "
            "all of them share."
        )
    # The chief reads them whole; the others wait for what it says.
    is_chief = workers.is_chief(strategy)
    path, error, chosen = None, None, -3
    if is_chief:
        try:
            path = newest_whole(directory, pass_over)
            chosen = int(os.path.basename(path)) if path else -1
        except UserError as problem:
            error, chosen = problem, -2
    chosen = int(workers.all_gather(strategy, [chosen]).max())
    if error is not None:
        raise error
    if chosen == -2:
        raise UserError("The chief found no checkpoint that is whole.")
    if chosen == -1:
        return None
    if not is_chief:
        path = os.path.join(directory, f"{chosen:09d}")
        if problem := find_missing(path):
            raise FileError(problem)
    return path
