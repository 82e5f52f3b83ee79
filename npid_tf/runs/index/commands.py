"""Changes of the index of an export: add, remove, sync, stats, compact; and build, of
embeddings in a file.

The id of an added image is its path as it is written; `remove` takes such ids.
"""

import dataclasses
import json
import os

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.data.sources.places import in_words, list_images
from npid_tf.errors import UserError
from npid_tf.files.whole_files import whole_folder
from npid_tf.pictures.exported import describe_pictures
from npid_tf.runs.index.item_files import in_parts, opened, put_files
from npid_tf.runs.index.sync import sync_folder
from npid_tf.saved_models.export_folder import MODELS
from npid_tf.saved_models.exported import load_encoder
from npid_tf.search.builder import DTYPES, build_scann_index
from npid_tf.search.changes import make_upsert
from npid_tf.search.engines import ENGINES
from npid_tf.search.live.reader import read_contents
from npid_tf.search.scann_index import import_scann
from npid_tf.vector_files import FORMATS, read_vectors
from npid_tf.vector_files.unit import is_unit, to_unit_length

NEIGHBORS = 10  # for which an index of a file is tuned


@dataclasses.dataclass(frozen=True)
class IndexFlags(Flags):
    """Which index is changed."""

    export_dir: str | None = flag(
        None, "Folder of the exported models and index", path=True
    )
    engine: str = choice(ENGINES, "scann", "What searches; of Milvus ask the server")
    embeddings: str | None = flag(
        None, f"build: the file of them, {', '.join(f'FILE{end}' for end in FORMATS)}",
        path=True,
    )  # fmt: skip
    recall: float = flag(
        0.95, "build: part of the true k nearest that it must find", above=0, at_most=1
    )
    index_dtype: str = choice(DTYPES, "float32", "build: what vectors are kept as")


def build(flags):
    """Builds the index in DIR/index of embeddings in a file, without an encoder.

    They are normalized. Raises ValueError for a file or vectors that do not fit, and
    where DIR holds an index or models already.
    """
    if flags.embeddings is None:
        raise UserError("`embeddings` is required. Pass --embeddings=FILE.")
    directory = os.path.join(flags.export_dir, "index")
    for name in ("index", *MODELS):
        if os.path.exists(os.path.join(flags.export_dir, name)):
            raise UserError(
                f"{flags.export_dir} holds {name}/ already. Pass an --export_dir that "
                "is new: an index of other embeddings does not fit another's models."
            )
    import_scann()  # Missing, it would be missed after the reading.
    vectors = read_vectors(flags.embeddings)
    unit, lengths = to_unit_length(vectors)
    if not is_unit(*lengths):
        print("Normalized: lengths were {:.4g} to {:.4g}.".format(*lengths))
    items = make_upsert(vectors.ids, unit, vectors.label_texts(), unit.shape[1])
    labels = None if vectors.labels is None else items.labels
    index = build_scann_index(
        unit, items.ids, labels, min(NEIGHBORS, len(unit)), flags.recall,
        flags.index_dtype,
        encoder_hash=vectors.about.get("encoder_hash", "unknown"),
        data={"embeddings": os.path.abspath(flags.embeddings)},
        pictures=describe_pictures(items.ids),
    )  # fmt: skip
    with whole_folder(directory) as partial:
        index.save(partial)
    print(
        f"Built an index of {len(unit):,} embeddings of {unit.shape[1]} numbers in "
        f"{directory}."
    )


def add(export_dir, names):
    """Embeds image files, and those in folders, and puts them into the index.

    Files of the same path replace what they were. Raises ValueError that names the
    files that could not be embedded; all others are in the index.
    """
    paths = list(dict.fromkeys(path for name in names for path in _images(name)))
    bad = {}
    with opened(export_dir) as (index, pictures):
        encoder = load_encoder(export_dir, index.encoder_hash)
        for some in in_parts("Adding", paths):
            files = dict(zip(some, some, strict=True))
            bad |= put_files(index, pictures, encoder, files)
        print(f"Added {len(paths) - len(bad)} images; the index holds {len(index)}.")
    if bad:
        raise UserError(
            f"{len(bad)} of {len(paths)} files were not added:\n"
            + "\n".join(bad.values())
        )


def remove(export_dir, names):
    """Takes items out of the index. Raises ValueError that names unknown ids."""
    unknown = []
    with opened(export_dir) as (index, pictures):
        for some in in_parts("Removing", list(dict.fromkeys(names))):
            unknown += [name for name in some if name not in index]
            index.delete(some)
            pictures.store.delete(some)
        print(
            f"Removed {len(set(names)) - len(unknown)}; the index holds {len(index)}."
        )
    if unknown:
        raise UserError(f"Not in the index: {', '.join(unknown)}.")


def sync(export_dir, names):
    """Brings the index to the state of a folder: see sync.py."""
    if len(names) != 1 or not os.path.isdir(names[0]):
        raise UserError(f"`sync` needs one folder. Received: {' '.join(names)}.")
    sync_folder(export_dir, names[0], _images(names[0]))


def stats(export_dir, names):
    """Prints what the index holds and how it searches, as JSON."""
    _check_none(names, "stats")
    contents = read_contents(os.path.join(export_dir, "index"))
    print(json.dumps(contents.stats(), indent=1))


def compact(export_dir, names):
    """Builds a new index of all items, so that none is searched one by one."""
    _check_none(names, "compact")
    with opened(export_dir) as (index, _):
        print(f"Building an index of {len(index)} items.")
        index.compact()
        print(json.dumps(index.stats(), indent=1))


COMMANDS = {
    "add": add,
    "remove": remove,
    "sync": sync,
    "stats": stats,
    "compact": compact,
}


def _images(path):
    """The path itself, or the images in the folder that it is."""
    if not os.path.isdir(path):
        return [path]
    listing = list_images(path)
    if listing.left_out:
        print(f"Left out {in_words(listing.left_out)} in {path}")
    return [item.path for item in listing.items.values()]


def _check_none(names, command):
    if names:
        raise UserError(f"`{command}` takes no files. Received: {' '.join(names)}.")
