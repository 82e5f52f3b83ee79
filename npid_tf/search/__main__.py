"""Finds the images most like others: `npid search --export_dir=DIR FILE...`, or
`python -m npid_tf.search --export_dir=DIR --image=FILE --k=20`."""

import dataclasses
import sys

from npid_tf.command_line.program import run
from npid_tf.errors import UserError
from npid_tf.runs.search import SearchFlags, search, write_results
from npid_tf.runs.search_output import print_results

GROUPS = {"search": dataclasses.fields(SearchFlags)}


def main(given):
    flags = given.flags(SearchFlags)
    flags = dataclasses.replace(flags, image=(*flags.image, *given.arguments))
    if flags.export_dir is None or not flags.image:
        raise UserError("Pass --export_dir=DIR and --image=FILE, one or more.")
    flags.refuse_ignored()
    results, how = search(
        flags.export_dir, flags.image, flags.k, flags.engine, flags.uri
    )
    print_results(flags.format, flags.image, results)
    # What a program reads is alone on standard output.
    told = sys.stdout if flags.format == "table" else sys.stderr
    print(how, file=told)
    if flags.gallery is not None:
        num_missing = write_results(flags.gallery, flags, results)
        missing = f" ({num_missing} without a picture)" if num_missing else ""
        print(f"Gallery: {flags.gallery}{missing}", file=told)


if __name__ == "__main__":
    run(main, GROUPS)
