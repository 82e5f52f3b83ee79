"""Writes the embeddings of images: `npid embed RUN --data=PHOTOS --out=FILE`, or
`python -m npid_tf.embed --workdir=RUN --data=PHOTOS --out=FILE`.

FILE.parquet and FILE.jsonl have a row for each image: id, label and embedding. FILE.npz
holds arrays: `embeddings`, `ids`, and where there are some `labels` and `class_names`.
FILE.npy holds the embeddings alone, FILE.csv beside it row, path and label.

A run that is interrupted goes on where it stopped. Images that cannot be read are left
out, and listed in FILE.left_out.csv with what else is in the place.
"""

import dataclasses

from npid_tf.command_line.program import run
from npid_tf.errors.printable import printable
from npid_tf.runs.embed import EmbedFlags, embed_to_file
from npid_tf.runs.workdir import RUN_FIELDS, run_of

MOST_NAMED = 10  # files that are left out; all of them are in a file
GROUPS = {
    "embed": dataclasses.fields(EmbedFlags),
    "of the run, where it is not as it was trained": RUN_FIELDS,
}


def main(given):
    config, recorded = run_of(given)
    flags = given.flags(EmbedFlags, recorded)
    written = embed_to_file(config, flags)
    print(
        f"Wrote {written.count:,} embeddings of {written.dim} numbers to {flags.out}."
    )
    if written.left_out:
        count = len(written.left_out)
        print(f"Cannot be read: {count:,} images, see {flags.out}.left_out.csv:")
        for name, reason in list(written.left_out.items())[:MOST_NAMED]:
            print(printable(f"  {name}: {reason}"))


if __name__ == "__main__":
    run(main, GROUPS)
