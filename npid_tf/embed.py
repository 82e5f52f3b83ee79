"""Writes the embeddings of images: `npid embed RUN --data=PHOTOS --out=FILE.npz`, or
`python -m npid_tf.embed --workdir=RUN --data=PHOTOS --out=FILE.npz`.

FILE.npz holds `embeddings`, `ids`, and where there are some `labels`.
"""

import dataclasses

from npid_tf.command_line.program import run
from npid_tf.errors import UserError
from npid_tf.runs.embed import EmbedFlags, embed_images
from npid_tf.runs.workdir import RUN_FIELDS, run_of

GROUPS = {
    "embed": dataclasses.fields(EmbedFlags),
    "of the run, where it is not as it was trained": RUN_FIELDS,
}


def main(given):
    config, recorded = run_of(given)
    flags = given.flags(EmbedFlags, recorded)
    if flags.out is None:
        raise UserError("`out` is required. Pass --out=FILE.npz.")
    count, dim = embed_images(config, flags)["embeddings"].shape
    print(f"Wrote {count:,} embeddings of {dim} numbers to {flags.out}.")


if __name__ == "__main__":
    run(main, GROUPS)
