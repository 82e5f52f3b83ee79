"""Changes the index of an export: `npid index add|remove|sync|stats|compact
--export_dir=DIR FILES...`, or `python -m npid_tf.index ...`; `npid index build
--embeddings=FILE --export_dir=DIR` makes one of embeddings that need not be ours.

The id of an added image is its path as it is written; `remove` takes such ids. `sync
FOLDER` adds, replaces, renames and removes what changed in a folder. Where a server has
the index open to change it, stop that first, or make the change through it.
"""

import dataclasses

from npid_tf.command_line.program import run
from npid_tf.errors import UserError
from npid_tf.runs.index.commands import COMMANDS, IndexFlags, build

GROUPS = {"index": dataclasses.fields(IndexFlags)}


def main(given):
    flags = given.flags(IndexFlags)
    command, *names = given.arguments or [None]
    if command not in (*COMMANDS, "build"):
        raise UserError(
            f"Unknown command {command!r}. Known: {', '.join(COMMANDS)}, build, as in "
            "`npid index add --export_dir=DIR FILES`."
        )
    if flags.export_dir is None:
        raise UserError("`export_dir` is required. Pass --export_dir=DIR.")
    if flags.engine != "scann":
        raise UserError(
            "This changes the index in the folder of an export. Change the one of "
            f"another engine through the server. Received: --engine={flags.engine}."
        )
    if command == "build":
        if names:
            raise UserError(f"`build` takes no files. Received: {' '.join(names)}.")
        build(flags)
        return
    _refuse_flags_of_build(flags)
    if command in ("add", "remove") and not names:
        raise UserError(f"`{command}` needs files. Pass them after the flags.")
    COMMANDS[command](flags.export_dir, names)


def _refuse_flags_of_build(flags):
    for name in ("embeddings", "recall", "index_dtype"):
        if getattr(flags, name) != getattr(IndexFlags, name):
            raise UserError(f"`{name}` is of `npid index build` alone.")


if __name__ == "__main__":
    run(main, GROUPS)
