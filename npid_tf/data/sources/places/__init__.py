"""Where images lie, one file each. To add one: a file, and a line in PLACES."""

import os
import typing

from npid_tf.data.kinds import EXTENSIONS
from npid_tf.data.sources.places import archives, hugging_face
from npid_tf.data.sources.places.file_list import list_lines, list_standard_input
from npid_tf.data.sources.places.folder import list_file, list_folder
from npid_tf.data.sources.places.listing import (
    LINKED,
    TWICE,
    Item,
    LeftOut,
    Listing,
    in_words,
)
from npid_tf.data.sources.places.remote import list_url
from npid_tf.errors import UserError

__all__ = ["Item", "LeftOut", "Listing", "is_place", "list_images", "split_places"]


class Kind(typing.NamedTuple):
    """what: its name in messages. is_one: whether a text is such a place. add: function
    of the place and a `Listing`, which it fills. is_list: of paths in any folders."""

    what: str
    is_one: typing.Callable
    add: typing.Callable
    is_list: bool = False


def _is_file(*endings):
    return lambda place: place.lower().endswith(endings) and os.path.isfile(place)


# The first that fits is taken.
PLACES = (
    Kind("- (a list on standard input)", lambda place: place == "-",
         list_standard_input, True),
    Kind("hf:DIR (saved by Hugging Face's datasets)",
         lambda place: place.startswith(hugging_face.PREFIX)
         or hugging_face.is_saved(place), hugging_face.list_saved),
    Kind("a URL of a folder (gs://, s3://, ...)", lambda place: "://" in place,
         list_url),
    Kind("a folder", os.path.isdir, list_folder),
    Kind("FILE.zip", _is_file(".zip"), archives.list_zip),
    Kind("FILE.tar", _is_file(".tar"), archives.list_tar),
    Kind("", _is_file(*archives.COMPRESSED_TARS), archives.refuse_compressed_tar),
    Kind("LIST.txt (a list of files)", _is_file(".txt", ".lst"), list_lines, True),
    Kind("an image file", _is_file(*EXTENSIONS), list_file),
)  # fmt: skip


def list_images(places):
    """A `Listing` of the images of one or several places: "A,B,LIST.txt", or a path.

    Raises UserError for a place that is missing, of no known kind, or without images.
    """
    found = [(place, _kind_of(place)) for place in split_places(os.fspath(places))]
    listing = Listing(by_path=len(found) > 1 or found[0][1].is_list)
    for place, kind in found:
        num_items, num_left_out = len(listing.items), len(listing.left_out)
        kind.add(place, listing)
        left_out = listing.left_out[num_left_out:]
        is_there_already = {each.kind for each in left_out} & {TWICE, LINKED}
        if len(listing.items) == num_items and not is_there_already:
            raise _no_images(place, left_out)
    return listing


def split_places(text):
    """The places in a text, separated by commas; a path with commas that is there is
    one place."""
    parts = text.split(",")
    places = []
    while parts:
        lengths = range(len(parts), 1, -1)
        length = next((n for n in lengths if _is_there(",".join(parts[:n]))), 1)
        places.append(_whole(",".join(parts[:length])))
        del parts[:length]
    return [place for place in places if place] or [text]


def is_place(text):
    """Whether a text names a place that is there, the first one of several."""
    first = split_places(text)[0]
    return any(kind.is_one(first) for kind in PLACES)


def _is_there(text):
    return os.path.exists(_whole(text))


def _whole(place):
    return os.path.expanduser(place.removeprefix("folder:"))


def _kind_of(place):
    for kind in PLACES:
        if kind.is_one(place):
            return kind
    known = ", ".join(kind.what for kind in PLACES if kind.what)
    if not os.path.exists(place):
        raise UserError(f"No folder {place}. Expected one, or: {known}.")
    raise UserError(f"{place} is no place of images. Known: {known}.")


def _no_images(place, left_out):
    told = f" Left out: {in_words(left_out)}." if left_out else ""
    return UserError(
        f"No images in {place}. Expected files ending in {', '.join(EXTENSIONS)}, "
        f"there or in sub-folders.{told}"
    )
