"""A data set that Hugging Face's `datasets` saved (save_to_disk), as it is."""

import functools
import os

from npid_tf.data.sources.places.listing import Item, stat_or_none, times_of
from npid_tf.errors import FileError, MissingPackageError, UserError

PREFIX = "hf:"


def is_saved(directory):
    """Whether a folder is one that `save_to_disk` wrote."""
    names = _names(directory)
    return "dataset_dict.json" in names or {"state.json", "dataset_info.json"} <= names


def list_saved(place, listing):
    """Adds the images of a saved data set, in its order; ids are DIR/NUMBER.

    The one column of images is read, and the one of class labels, if there is one.
    """
    directory = place.removeprefix(PREFIX)
    data = _opened(directory)
    column = _only(data, "Image", directory)
    if column is None:
        told = ", ".join(data.column_names)
        raise UserError(f"{directory} has no column of images. It has: {told}.")
    labels = _only(data, "ClassLabel", directory)
    names = data.features[labels].names if labels else None
    listing.class_names += names or []
    images = data.cast_column(column, _images().Image(decode=False))
    state = os.path.join(directory, "state.json")
    times = times_of(stat_or_none(state)) or (0, 0, 0)
    listing.watched[state] = times
    labels = data[labels] if labels else None
    for number, size in enumerate(_sizes(images, column)):
        # What is not labelled, -1 or null, has no class.
        label = labels[number] if labels is not None else None
        listing.add(
            Item(
                str(number),
                f"{directory}/{number}",
                size,
                (size, *times[1:]),
                label=None if label is None or label < 0 else names[label],
                reader=functools.partial(_read, images, column, number),
            )
        )


def _names(directory):
    return set(os.listdir(directory)) if os.path.isdir(directory) else set()


def _images():
    try:
        import datasets
    except ImportError as error:
        raise MissingPackageError(
            "A data set of Hugging Face needs: pip install 'npid_tf[huggingface]'."
        ) from error
    return datasets


def _opened(directory):
    datasets = _images()
    if "dataset_dict.json" in _names(directory):
        parts = sorted(each.name for each in os.scandir(directory) if each.is_dir())
        told = ", ".join(f"{PREFIX}{os.path.join(directory, name)}" for name in parts)
        raise UserError(f"{directory} holds several data sets. Pass one: {told}.")
    try:
        return datasets.load_from_disk(directory)
    except (OSError, ValueError) as error:
        raise FileError(
            f"{directory} cannot be read as a data set that `save_to_disk` wrote: "
            f"{error}"
        ) from error


def _only(data, kind, directory):
    """The one column of a kind, or None; of labels also the one that is called so."""
    found = [
        n for n, feature in data.features.items() if type(feature).__name__ == kind
    ]
    if kind == "ClassLabel" and len(found) > 1:
        found = [name for name in found if name == "label"]
    if len(found) > 1:
        raise UserError(
            f"{directory} has several columns of images: {', '.join(found)}. Expected "
            "one: save it again after `remove_columns`."
        )
    return found[0] if found else None


def _sizes(images, column):
    """The size of each image in bytes, without a copy of them."""
    import pyarrow.compute as compute

    for batch in images.select_columns([column]).with_format("arrow").iter(1000):
        lengths = compute.binary_length(compute.struct_field(batch[column], "bytes"))
        yield from (length or 0 for length in lengths.to_pylist())


def _read(images, column, number):
    record = images[number][column]
    if record["bytes"] is not None:
        return record["bytes"]
    with open(record["path"], "rb") as file:
        return file.read()
