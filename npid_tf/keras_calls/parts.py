"""Which encoder, bank and loss go together, checked where a model is made of them."""

import keras

from npid_tf.banks.learned_rows import LearnedRows
from npid_tf.banks.memory_bank import MemoryBank
from npid_tf.banks.recent_rows import RecentRows
from npid_tf.distribution import replicas
from npid_tf.errors import UserError
from npid_tf.losses.instance_cross_entropy import InstanceCrossEntropy
from npid_tf.losses.negatives import check_drawn_from

LEARNED = (LearnedRows, RecentRows)
BANKS = (MemoryBank, *LEARNED)


def check_parts(encoder, bank, loss):
    """Raises ValueError where the parts of a model do not fit one another, or were made
    in the scope of another strategy than the current one."""
    _check_kinds(encoder, bank, loss)
    dim = embedding_dim(encoder)
    if dim != bank.embedding_dim:
        raise UserError(
            "`bank` must have the encoder's dimension. Received: "
            f"{bank.embedding_dim}, and an encoder of {dim}."
        )
    check_drawn_from(getattr(loss, "negatives", None), bank)
    if isinstance(loss, InstanceCrossEntropy):
        loss.check_bank(bank)
    for name, part in (("encoder", encoder), ("bank", bank), ("loss", loss)):
        replicas.check_made_here(name, getattr(part, "variables", ()))


def _check_kinds(encoder, bank, loss):
    for name, part, is_right, expected in (
        ("encoder", encoder, isinstance(encoder, keras.Model), "a Keras model"),
        ("bank", bank, isinstance(bank, BANKS), "a MemoryBank"),
        ("loss", loss, callable(loss), "one of npid_tf.losses"),
    ):
        # Each of them can be called: two that changed places are told by their kind.
        is_other = name == "loss" and isinstance(part, (keras.Model, *BANKS))
        if not is_right or is_other:
            raise UserError(f"`{name}` must be {expected}. Received: {part!r}.")


def check_averaged(model, bank, loss):
    """Raises ValueError for rows, or a loss, of the instance classifier."""
    for name, part, of_classifier in (
        ("bank", bank, LEARNED),
        ("loss", loss, InstanceCrossEntropy),
    ):
        if isinstance(part, of_classifier):
            raise UserError(
                f"`{name}` is an InstanceClassifier's: {type(model).__name__} keeps "
                f"averages of embeddings. Received: {type(part).__name__}."
            )


def check_learned(bank, loss):
    """Raises ValueError for what an instance classifier does not take."""
    for name, part, expected in (
        ("bank", bank, LEARNED),
        ("loss", loss, (InstanceCrossEntropy,)),
    ):
        if not isinstance(part, expected):
            known = " or ".join(kind.__name__ for kind in expected)
            raise UserError(
                f"An InstanceClassifier needs `{name}` to be {known}. Received: "
                f"{part!r}."
            )


def embedding_dim(encoder):
    """The dimension of an encoder's embeddings. Raises ValueError where it gives none,
    or was not built."""
    try:
        shape = encoder.output_shape
    except AttributeError as error:
        raise UserError(
            "`encoder` must be built: call it on images, or make it of a "
            f"`keras.Input`. Received: {encoder.name}."
        ) from error
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise UserError(
            "`encoder` must give embeddings [batch, dim]. Received: a model of "
            f"{shape}."
        )
    return shape[1]
