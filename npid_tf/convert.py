"""Takes other projects' weights, and gives this one's to others.

In: `npid convert --input=FILE --source=lemniscate --backbone=resnet50 --image_size=224
--dataset=folder:PHOTOS --workdir=RUN`. RUN becomes a run that `evaluate` and `export`
read and that `train` resumes.
Out: `npid convert --workdir=RUN --output=FILE.safetensors`.
"""

import dataclasses

from npid_tf.command_line.program import run
from npid_tf.command_line.recipes import RecipeFlags, parse_with_recipe
from npid_tf.errors import UserError
from npid_tf.runs.convert import ConvertFlags, convert_in, convert_out
from npid_tf.runs.train_flags import OF_ANY_PROGRAM, TrainFlags, groups
from npid_tf.runs.workdir import run_of

GROUPS = {
    "convert": dataclasses.fields(ConvertFlags),
    "recipe, with --input": dataclasses.fields(RecipeFlags),
    **{f"with --input: {title}": fields for title, fields in groups().items()},
}
ALIASES = {"data": "dataset"}


def main(given):
    flags = given.flags(ConvertFlags)
    if (flags.input is None) == (flags.output is None):
        raise UserError("Pass either --input=FILE to read or --output=FILE to write.")
    if flags.input is not None:
        given.refuse_arguments()
        config = convert_in(given.flags(TrainFlags), flags)
        print(f"Written to {config.workdir}: train, evaluate and export take it.")
        return
    own = {"input", "source", "output", *OF_ANY_PROGRAM}
    for name in given.on_line - own:
        raise UserError(f"`{name}` is the run's own with --output. Leave --{name} out.")
    config, _ = run_of(given)
    arrays = convert_out(config, flags.output)
    print(f"Wrote {len(arrays)} arrays to {flags.output}.")


if __name__ == "__main__":
    run(main, GROUPS, ALIASES, read=parse_with_recipe)
