"""`--continue_from`: a new run that begins with the encoder of another.

The encoder alone: bank, optimizer and schedule begin anew. The other run is read when
this one begins, and never again.
"""

import dataclasses

from npid_tf.checkpoints.weights import restore_encoder
from npid_tf.errors import UserError
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.runs.workdir import checkpoint_directory, path_of_run, read_run

OF_ENCODER = ("backbone", "width", "head", "head_batch_norm", "embedding_dim")


def with_its_encoder(config, stay):
    """(config, stay) of `train`, which fit the encoder of `config.continue_from`.

    Where flags follow the data (stay is no None), those of the encoder are the other
    run's. Raises ValueError where others are given, or the other is no run.
    """
    other = _flags_of_other(config)
    if stay is not None:
        taken = set(OF_ENCODER) - set(stay)
        values = {name: getattr(other, name) for name in taken}
        config = dataclasses.replace(config, **values)
        stay = frozenset(stay) | taken
    different = [
        f"--{name}={getattr(config, name)}, there {getattr(other, name)}"
        for name in OF_ENCODER
        if getattr(config, name) != getattr(other, name)
    ]
    if different:
        raise UserError(
            f"--continue_from={config.continue_from} has another encoder: "
            f"{'; '.join(different)}. Pass what it has, or leave --continue_from out."
        )
    return config, stay


def read_its_encoder(config, encoder):
    """Reads the weights of the other run's newest whole checkpoint into `encoder`."""
    path = restore_encoder(checkpoint_directory(_flags_of_other(config)), encoder)
    if path is None:
        raise UserError(
            f"No checkpoint in {config.continue_from}: nothing is trained there yet."
        )
    print(f"The encoder is that of {path}, and rows begin with its embeddings.")


def _flags_of_other(config):
    workdir = path_of_run(config.continue_from)
    return TrainFlags.of({**read_run(workdir), "workdir": workdir})
