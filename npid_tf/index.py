"""Changes the index of an export: `npid index add|remove|stats|compact --export_dir=DIR
FILES...`, or `python -m npid_tf.index ...`.

The id of an added image is its path as it is written; `remove` takes such ids. Where a
server has the index open to change it, stop that first, or make the change through it.
"""

import dataclasses

from npid_tf.command_line.program import run
from npid_tf.errors import UserError
from npid_tf.runs.index_commands import COMMANDS, IndexFlags

GROUPS = {"index": dataclasses.fields(IndexFlags)}


def main(given):
    flags = given.flags(IndexFlags)
    command, *names = given.arguments or [None]
    if command not in COMMANDS:
        raise UserError(
            f"Unknown command {command!r}. Known: {', '.join(COMMANDS)}, as in `npid "
            "index add --export_dir=DIR FILES`."
        )
    if flags.export_dir is None:
        raise UserError("`export_dir` is required. Pass --export_dir=DIR.")
    if flags.engine != "scann":
        raise UserError(
            "This changes the index in the folder of an export. Change the one of "
            f"another engine through the server. Received: --engine={flags.engine}."
        )
    if command in ("add", "remove") and not names:
        raise UserError(f"`{command}` needs files. Pass them after the flags.")
    COMMANDS[command](flags.export_dir, names)


if __name__ == "__main__":
    run(main, GROUPS)
