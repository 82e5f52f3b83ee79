"""Writes models and an index: `npid export RUN --export_dir=DIR`, or
`python -m npid_tf.export --workdir=RUN --export_dir=DIR`."""

import dataclasses
import os

from npid_tf.command_line.program import run
from npid_tf.errors import UserError
from npid_tf.runs.export import ExportFlags, export
from npid_tf.runs.workdir import RUN_FIELDS, run_of
from npid_tf.search.engines import ENGINES
from npid_tf.search.index_files import read_ids
from npid_tf.search.live.reader import read_contents

GROUPS = {
    "export": dataclasses.fields(ExportFlags),
    "of the run, where it is not as it was trained": RUN_FIELDS,
}


def main(given):
    config, recorded = run_of(given)
    flags = given.flags(ExportFlags, recorded)
    manifest = export(config, flags)
    recall = manifest["recall"]
    where = ENGINES[flags.engine].tell(manifest, flags.uri)
    print(
        f"Exported to {flags.export_dir}: encoder, neighbors, and an index of "
        f"{manifest['n']:,} images {where}, recall@{recall['k']} "
        f"{recall['value']:.4f} over {manifest['queries']})"
    )
    if flags.engine == "scann":
        _tell_of_changes(os.path.join(flags.export_dir, "index"))


def _tell_of_changes(index_dir):
    """Says so where the index that was replaced had been changed since its export."""
    try:
        items = set(read_contents(index_dir).ids())
    except UserError as error:
        print(f"Note: {error}")
        return
    exported = set(map(str, read_ids(index_dir)[0]))
    if items != exported:
        print(
            "Note: the changes to the earlier export of this encoder carry over, "
            f"{len(items - exported):,} images added and {len(exported - items):,} "
            "removed."
        )


if __name__ == "__main__":
    run(main, GROUPS)
