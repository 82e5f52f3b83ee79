"""Finds the images most like others: `npid search --export_dir=DIR FILE...`, or
`python -m npid_tf.search --export_dir=DIR --image=FILE --k=20`."""

import dataclasses

from npid_tf.command_line.program import run
from npid_tf.errors import UserError
from npid_tf.errors.printable import printable
from npid_tf.runs.search import SearchFlags, search, write_results

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
    for path, neighbors in zip(flags.image, results, strict=True):
        print(f"{printable(path)}\n{'id':<40}{'label':<20}{'similarity':>10}")
        for found in neighbors:
            name = printable(found["id"])
            label = "" if found["label"] is None else printable(found["label"])
            print(f"{name:<40}{label:<20}{found['similarity']:>10.4f}")
    print(how)
    if flags.gallery is not None:
        write_results(flags.gallery, flags, results)
        print(f"Gallery: {flags.gallery}")


if __name__ == "__main__":
    run(main, GROUPS)
