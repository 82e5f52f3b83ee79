"""Finds the images most like others: `npid search --export_dir=DIR FILE...`, or
`python -m npid_tf.search --export_dir=DIR --image=FILE --k=20`.

--id=ID searches for an item of the index, --embeddings=FILE for embeddings in a file:
an index that was built of such a file (`npid index build`) has no encoder for images.
"""

import dataclasses
import sys

from npid_tf.command_line.program import run
from npid_tf.errors import UserError
from npid_tf.runs.search import SearchFlags, search_for, write_results
from npid_tf.runs.search_output import print_results

GROUPS = {"search": dataclasses.fields(SearchFlags)}


def main(given):
    flags = given.flags(SearchFlags)
    flags = dataclasses.replace(flags, image=(*flags.image, *given.arguments))
    nothing = not flags.image and not flags.id and flags.embeddings is None
    if flags.export_dir is None or nothing:
        raise UserError(
            "Pass --export_dir=DIR and --image=FILE, one or more; or --id=ID, or "
            "--embeddings=FILE."
        )
    flags.refuse_ignored()
    names, results, how = search_for(flags)
    print_results(flags.format, names, results)
    # What a program reads is alone on standard output.
    told = sys.stdout if flags.format == "table" else sys.stderr
    print(how, file=told)
    if flags.gallery is not None:
        num_missing = write_results(flags.gallery, flags, names, results)
        missing = f" ({num_missing} without a picture)" if num_missing else ""
        print(f"Gallery: {flags.gallery}{missing}", file=told)


if __name__ == "__main__":
    run(main, GROUPS)
