"""Recipes: the files of flags in configs/, by name."""

import dataclasses
import importlib.resources
import os

from npid_tf.command_line.fields import Flags, flag
from npid_tf.command_line.given import FLAGFILE, parse
from npid_tf.errors import UserError

AUTO = "auto"  # No file: flags that follow the data, see npid_tf/runs/auto.py.


@dataclasses.dataclass(frozen=True)
class RecipeFlags(Flags):
    """Which recipe a run begins with."""

    recipe: str | None = flag(
        None, "Flags to begin with: auto, or a file in configs/ by its name, as photos"
    )


def folder():
    """The folder of the recipes: in the package, or configs/ of a checkout."""
    try:
        return str(importlib.resources.files("npid_tf.configs"))
    except ModuleNotFoundError:
        root = importlib.resources.files("npid_tf").parent
        return str(root / "configs")


def names():
    """The names of all recipes, sorted."""
    files = os.listdir(folder())
    return sorted(name[:-4] for name in files if name.endswith(".cfg"))


def path_of(name):
    """The file of a recipe. Raises ValueError for an unknown name."""
    if name not in names():
        known = ", ".join([AUTO, *names()])
        raise UserError(f"Unknown recipe {name!r}. Known: {known}.")
    return os.path.join(folder(), f"{name}.cfg")


def parse_with_recipe(words, fields, elsewhere=dict, aliases=None):
    """`Given` of a command line that may name a recipe; its own flags come after it.

    Without one, and without a file of flags, a run that is named by an argument begins
    with the recipe `auto` where it is given a data set, else with that of its name.
    """
    given = parse(words, fields, elsewhere, aliases)
    name = given.values.get("recipe")
    if name is None and given.arguments and not _has_file(words):
        called = os.path.basename(os.path.normpath(given.arguments[0]))
        if "dataset" in given.values:
            name = AUTO
        elif called in names():
            name = called
    if name is None:
        return given
    if name == AUTO:
        values = {**given.values, "recipe": AUTO}
        return dataclasses.replace(given, values=values)
    path = path_of(name)
    print(f"Recipe: {name} ({path})", flush=True)
    again = parse([f"--{FLAGFILE}={path}", *words], fields, elsewhere, aliases)
    return dataclasses.replace(again, on_line=given.on_line)


def _has_file(words):
    return any(word.lstrip("-").partition("=")[0] == FLAGFILE for word in words)
