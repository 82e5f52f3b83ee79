"""Learns an encoder: `npid train photos --data=PHOTOS`, or
`python -m npid_tf.train --flagfile=configs/digits.cfg`.

The argument names the run: a folder, or a name in runs/. The recipe is --recipe, else
`auto`, which follows the data, where there is some to learn from, else that of the same
name. The same command again resumes where it stopped.
"""

import dataclasses
import os
import sys

from npid_tf.command_line.program import run
from npid_tf.command_line.recipes import AUTO, RecipeFlags, parse_with_recipe
from npid_tf.distribution import workers
from npid_tf.distribution.strategies import build_strategy
from npid_tf.runs.train import train
from npid_tf.runs.train_flags import TrainFlags, groups
from npid_tf.runs.workdir import is_run, path_of_run, read_run
from npid_tf.training.stop_signals import NAMES, ending_by

GROUPS = {
    "recipe": dataclasses.fields(RecipeFlags),
    **groups(),
}
ALIASES = {"data": "dataset"}


def flags_of(given):
    """(`TrainFlags`, names of those that stay where the recipe is `auto`, else None) of
    a command line. A run that exists goes on with its own flags, but for those given.
    """
    recipe, is_named = given.values.get("recipe"), False
    if given.arguments and "workdir" not in given.on_line:
        workdir, *rest = given.arguments
        values = {**given.values, "workdir": path_of_run(workdir)}
        given = dataclasses.replace(given, values=values, arguments=rest)
        is_named = recipe is None
    given.refuse_arguments()
    config = given.flags(TrainFlags)
    if (recipe == AUTO or is_named) and is_run(config.workdir):
        return given.flags(TrainFlags, read_run(config.workdir)), None
    return config, frozenset(given.values) if recipe == AUTO else None


def main(given):
    config, stay = flags_of(given)
    strategy = build_strategy(config.strategy)
    with workers.ending_together(strategy), ending_by(_leave(strategy)):
        train(config, stay)


def _leave(strategy):
    def leave(number, frame):
        """frame: None where all was saved, and all workers leave."""
        if frame is not None:
            # Not by `print`, which the signal may have interrupted.
            line = f"\nStopped by {NAMES[number]}, outside of the steps.\n"
            os.write(sys.stderr.fileno(), line.encode())
            if workers.is_multi_worker(strategy):
                os._exit(128 + number)  # The others wait for this one: no orderly end.
        raise SystemExit(128 + number)

    return leave


if __name__ == "__main__":
    run(main, GROUPS, ALIASES, read=parse_with_recipe)
