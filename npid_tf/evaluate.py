"""Evaluates a run: `npid evaluate RUN --protocol=knn`, or
`python -m npid_tf.evaluate --workdir=RUN --protocol=knn`.

Prints tables and writes them to WORKDIR/evaluation/NAME.md, with all settings and
numbers in NAME.json beside it. NAME is the protocol, and its preset where it has one.
"""

import dataclasses
import errno

from npid_tf.command_line.fields import Flags, choice
from npid_tf.command_line.program import run
from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.errors import UserError
from npid_tf.protocols import FORMER_NAMES, PROTOCOLS
from npid_tf.protocols.results import table_lines, write_results
from npid_tf.runs.workdir import RUN_FIELDS, run_of


@dataclasses.dataclass(frozen=True)
class EvaluateFlags(Flags):
    """Which protocol evaluates."""

    protocol: str = choice(
        [*PROTOCOLS, *FORMER_NAMES], "knn", "How the run is evaluated"
    )


GROUPS = {
    "evaluate": dataclasses.fields(EvaluateFlags),
    "of the run, where it is not as it was trained": RUN_FIELDS,
    **{
        f"with --protocol={name}": dataclasses.fields(protocol.flags)
        for name, protocol in PROTOCOLS.items()
        if dataclasses.fields(protocol.flags)
    },
}


def protocol_of(given, recorded):
    """(the protocol, its flags) of a command line.

    recorded: {name: value} of the run, which stand for flags that are not given.
    Raises ValueError for a flag that the protocol does not read.
    """
    name = given.flags(EvaluateFlags).protocol
    protocol = PROTOCOLS[FORMER_NAMES.get(name, name)]
    own = {field.name for field in dataclasses.fields(protocol.flags)}
    of_others = {
        f.name for p in PROTOCOLS.values() for f in dataclasses.fields(p.flags)
    }
    for ignored in sorted(given.on_line & (of_others - own)):
        readers = [
            p.name
            for p in PROTOCOLS.values()
            if ignored in p.flags.__dataclass_fields__
        ]
        raise UserError(
            f"`{ignored}` is read with --protocol={' or '.join(readers)} only. "
            f"Received: --protocol={protocol.name}. Leave --{ignored} out."
        )
    return protocol, given.flags(protocol.flags, recorded)


def main(given):
    config, recorded = run_of(given)
    protocol, flags = protocol_of(given, recorded)
    with naming_lost_files():
        rows = protocol.evaluate(config, flags)
    print("\n".join(table_lines(protocol, rows)))
    try:
        print(f"Written to {write_results(config, protocol, flags, rows)}")
    except OSError as error:  # The table is what was asked for.
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        print(f"Not written to {config.workdir}: {error.strerror}.")


if __name__ == "__main__":
    run(main, GROUPS)
