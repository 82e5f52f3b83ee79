"""The weights of a model in a checkpoint: read where they fit, refused where not."""

import os

import tensorflow as tf

from npid_tf.banks.files import other_weights, read_bank
from npid_tf.checkpoints.files import leave, newest_whole, read_state
from npid_tf.errors import FileError, UserError


def restore_variables(path, model, kept=None):
    """Reads weights, bank, Z and, where the model is compiled, the optimizer.

    kept: bool [images of the checkpoint], those that the bank still has; None: all.

    Raises ValueError where shapes differ, naming the first that do.
    """
    state = read_state(path)
    shapes = shapes_of(model)
    if kept is not None:
        shapes[0][1][0] = len(kept)  # The bank may have another number of rows.
    _check_shapes(path, state["shapes"], shapes)
    _check_optimizer(path, state.get("optimizer"), optimizer_shapes(model))
    status = variables_of(model).read(os.path.join(path, "variables"))
    try:
        status.assert_existing_objects_matched().expect_partial()
    except AssertionError as error:  # One of before formats: nothing tells earlier.
        raise UserError(OTHER_OPTIMIZER.format(path)) from error
    read_bank(model.bank, path, kept)


def restore_encoder(directory, encoder):
    """Reads the encoder's weights alone, of the newest whole checkpoint in `directory`.

    Returns its path; None where there is none. Raises as `Checkpoints.restore`, which
    see; the folder is only read.
    """
    path = newest_whole(directory, leave)
    if path is None:
        return None
    shapes = [[variable.path, list(variable.shape)] for variable in encoder.variables]
    try:
        saved = read_state(path)["shapes"][1 : 1 + len(shapes)]  # after the bank's
        _check_shapes(path, saved, shapes)
        variables = tf.train.Checkpoint(encoder=encoder)
        status = variables.read(os.path.join(path, "variables"))
    except (OSError, tf.errors.OpError) as error:
        raise_unless_removed(path, error)
        return restore_encoder(directory, encoder)
    status.assert_existing_objects_matched().expect_partial()
    return path


def raise_unless_removed(path, error):
    """Raises the error, unless `path` is gone: another process trains on, and keeps
    the last two alone. Then a newer one is there."""
    if os.path.exists(path):
        if isinstance(error, FileError):
            raise error
        text = getattr(error, "message", error)
        raise FileError(f"{path} cannot be read: {text}") from error


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


def _check_optimizer(path, saved, current):
    if None not in (saved, current) and saved != current:
        raise UserError(OTHER_OPTIMIZER.format(path))


OTHER_OPTIMIZER = (
    "The checkpoint {} was trained with another optimizer. Use the --optimizer, "
    "--sgd_momentum, --accumulation_steps and --precision it was trained with, or "
    "another --workdir."
)


def variables_of(model):
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


def shapes_of(model):
    bank = model.bank
    shapes = [[bank.name, [bank.num_instances, bank.embedding_dim]]]
    return shapes + [[v.path, list(v.shape)] for v in weights_of(model)]


def optimizer_shapes(model):
    """What tells optimizers apart: their classes, and the shapes of all they keep."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return None
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    names = [type(optimizer).__name__, type(inner).__name__]
    return [*names, *(list(variable.shape) for variable in optimizer.variables)]


def weights_of(model):
    of_bank = other_weights(model.bank).values()
    return [*model.encoder.variables, *model.instance_loss.variables, *of_bank]
