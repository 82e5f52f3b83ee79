"""Classes of images: their first sub-folders, none, or lines of a CSV file."""

import csv
import io
import warnings

import numpy as np

from npid_tf.data.sources.manifest import first_of
from npid_tf.errors import FileError, UserError

FOLDER, NONE = "folder", "none"


def labels_of(items, labels=FOLDER, where="", class_names=()):
    """(int64 [n] or None, class names or None): the class of each image.

    Args:
        items: `Item`s.
        labels: "folder", the first sub-folder below their place, or what the place
            itself tells: None where an image has none. "none". Or a CSV file of lines
            PATH,CLASS: the path of an image, as it is or below its place.
        where: their places, for messages.
        class_names: the order of classes that have one.

    Raises UserError for a CSV file that cannot be read or lacks an image.
    """
    if labels == NONE:
        return None, None
    if labels == FOLDER:
        named = [each.label or _first_folder(each.name) for each in items]
        if not _all_have_one(named, items, where):
            return None, None
    elif labels.lower().endswith(".csv"):
        named = _of_csv(labels, items)
        class_names = ()
    else:
        raise UserError(f"Unknown labels {labels!r}. Known: folder, none, FILE.csv.")
    names = [*class_names, *sorted(set(named) - set(class_names))]
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[name] for name in named], np.int64), tuple(names)


def _first_folder(name):
    return name.split("/")[0] if "/" in name else None


def _all_have_one(named, items, where):
    stray = [each.name for each, name in zip(items, named, strict=True) if not name]
    class_names = set(named) - {None}
    if stray and class_names:
        warnings.warn(
            f"No image of {where} has a class: {len(stray)} lie beside its "
            f"{len(class_names)} sub-folders ({first_of(stray)}). Move them into one, "
            "or away, if the sub-folders are classes; if not, pass --labels=none.",
            stacklevel=4,
        )
    return not stray


def _of_csv(path, items):
    """The class of each image, by a CSV file."""
    classes = _read_csv(path)
    named = [classes.get(each.path, classes.get(each.name)) for each in items]
    missing = [i.name for i, name in zip(items, named, strict=True) if name is None]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(items)} images have no line in {path}: "
            f"{first_of(missing)}. Expected lines PATH,CLASS, with the path of each "
            "image as it is, or below the folder."
        )
    return named


def _read_csv(path):
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
        lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    except (OSError, csv.Error) as error:
        raise FileError(f"{path} cannot be read: {error}.") from error
    classes = {}
    for number, line in enumerate(lines, 1):
        if line and len(line) != 2:
            raise FileError(
                f"Line {number} of {path} has {len(line)} columns. Expected two: "
                "PATH,CLASS."
            )
        if line and classes.setdefault(line[0], line[1]) != line[1]:
            raise FileError(f"{path} has two classes of {line[0]} (line {number}).")
    return classes
