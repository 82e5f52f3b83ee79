"""What `train` prints before the first step: the plan, and which flags are new."""

import os
import shutil

import tensorflow as tf

from npid_tf.command_line.given import flag_lines
from npid_tf.errors.printable import printable
from npid_tf.files.whole_files import NAMES


def print_changed_flags(flags_path, config):
    """Prints which flags differ from those of the run that is resumed.

    A damaged file is kept aside, and that is said.
    """
    if not os.path.exists(flags_path):
        return
    with open(flags_path, encoding="utf-8", errors=NAMES) as file:
        before = file.read().splitlines()
    now = flag_lines(config)
    # Bytes that are no text may be those of a name: of this run's, or none at all.
    if any(not line.startswith(("-", "#", "//"))
           or (printable(line) != line and line not in now)
           for line in before if line.strip()):  # fmt: skip
        shutil.copyfile(flags_path, f"{flags_path}.damaged")
        print(f"Warning: {flags_path} is damaged, kept as {flags_path}.damaged.")
    for line in now:
        if line not in before:
            print(f"Other than before: {line}")


def print_plan(config, source, model, strategy, steps):
    """Prints what a run will do, before it starts."""
    bank = model.bank
    replicas = strategy.num_replicas_in_sync
    row_bytes = bank.embedding_dim * tf.as_dtype(bank.row_dtype).size
    parameters = sum(variable.value.shape.num_elements()
                     for variable in model.trainable_variables)  # fmt: skip
    print(
        f"Plan: {source.num_instances:,} images of {config.dataset}, bank "
        f"{bank.num_instances:,} x {bank.embedding_dim} {bank.row_dtype} "
        f"({bank.rows.rows_per_replica() * row_bytes / 1e6:,.1f} MB per device), "
        f"{config.backbone} with {parameters:,} parameters, {config.epochs} epochs of "
        f"{steps:,} steps of {config.batch_size} images on {replicas} device(s), "
        f"{config.batch_size / replicas:g} each, {config.views} view(s) of each image, "
        f"in {config.workdir}",
        flush=True,
    )
