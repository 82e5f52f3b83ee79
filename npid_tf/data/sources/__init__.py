"""Where images come from, one file each. To add one: a file, and a line in SOURCES.

What a source has is told in `source.py`.
"""

import typing

from npid_tf.data.decoding.rules import DEFAULT, Decoding
from npid_tf.data.sources.arrays import load_npz
from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.places import PLACES, is_place
from npid_tf.data.sources.places.labels import FOLDER, NONE
from npid_tf.data.sources.shipped.closeups import load_closeups
from npid_tf.data.sources.shipped.digits import load_digits
from npid_tf.data.sources.source import without_classes
from npid_tf.data.sources.tfds import load_tfds
from npid_tf.errors import UserError


class Place(typing.NamedTuple):
    """What reading a data set may need beside its name and split.

    data_dir: of TFDS, or None. skip_corrupt: whether to leave out files that do not
    decode. tables: folder that keeps what spares reading all images again, or None.
    stratified: whether a part, as in train[:80%], takes its share of every class.
    labels: what the classes of files are (see places/labels.py).
    decoding: how the bytes of files become pixels.
    """

    data_dir: str | None = None
    skip_corrupt: bool = False
    tables: str | None = None
    stratified: bool = True
    labels: str = FOLDER
    decoding: Decoding = DEFAULT


# kind: (what its name is called, as in npz:FILE, or None without one; function of the
# name, the split and Place)
SOURCES = {
    "digits": (None, lambda name, split, place: load_digits(split)),
    "closeups": (None, lambda name, split, place: load_closeups(split)),
    "tfds": (
        "NAME",
        lambda name, split, place: load_tfds(
            name, split, place.data_dir, place.tables, place.decoding
        ),
    ),
    "folder": (
        "DIR",
        lambda name, split, place: load_folder(
            name, split, place.skip_corrupt, place.tables, place.stratified,
            place.labels, place.decoding,
        ),
    ),
    "npz": (
        "FILE",
        lambda name, split, place: load_npz(
            name, split, place.stratified, place.decoding
        ),
    ),
}  # fmt: skip


def load_source(dataset, split, place):
    """The source that `dataset` names: one of SOURCES, as digits or npz:FILE.

    An .npz file itself may stand for npz:FILE, and any place of images, or several with
    commas, for folder:DIR. Raises ValueError for unknown or unreadable data.
    """
    kind, _, name = dataset.partition(":")
    if kind not in SOURCES and is_place(dataset):
        kind, name = "folder", dataset
    elif kind not in SOURCES and dataset.endswith(".npz"):
        kind, name = "npz", dataset
    word, load = SOURCES.get(kind, (None, None))
    if load is None or bool(word) is not bool(name):
        known = [f"{k}:{w}" if w else k for k, (w, _) in SOURCES.items()]
        known += [kind.what for kind in PLACES if kind.what]
        raise UserError(f"Unknown dataset {dataset!r}. Known: {', '.join(known)}.")
    if kind != "folder" and place.labels not in (FOLDER, NONE):
        raise UserError(
            "`labels` can be a file for images that are files alone. Received: labels="
            f"{place.labels}, for {dataset}. Known for it: {FOLDER} (its own), {NONE}."
        )
    source = load(name, split, place)
    source.decoding = place.decoding
    return without_classes(source) if _are_dropped(kind, place) else source


def _are_dropped(kind, place):
    """Whether the classes that a source has by itself are not wanted."""
    return kind != "folder" and place.labels == NONE
