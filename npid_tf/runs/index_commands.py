"""Changes of the index of an export: add, remove, stats, compact.

The id of an added image is its path as it is written; `remove` takes such ids.
"""

import contextlib
import dataclasses
import json
import os

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.command_line.progress import progress
from npid_tf.data.kinds import has_image_extension
from npid_tf.errors import UserError
from npid_tf.saved_models.exported import embed_files, load_encoder
from npid_tf.search.engines import ENGINES
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.reader import read_contents

AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class IndexFlags(Flags):
    """Which index is changed."""

    export_dir: str | None = flag(
        None, "Folder of the exported models and index", path=True
    )
    engine: str = choice(ENGINES, "scann", "What searches; of Milvus ask the server")


def add(export_dir, names):
    """Embeds image files, and those in folders, and puts them into the index.

    Files of the same path replace what they were. Raises ValueError that names the
    files that could not be embedded; all others are in the index.
    """
    paths = list(dict.fromkeys(path for name in names for path in _images(name)))
    bad = {}
    with _opened(export_dir) as index:
        encoder = load_encoder(export_dir, index.encoder_hash)
        for some in _with_progress("Adding", paths):
            embeddings, good, some_bad = embed_files(encoder, some)
            index.upsert(good, embeddings)
            bad |= some_bad
        print(f"Added {len(paths) - len(bad)} images; the index holds {len(index)}.")
    if bad:
        raise UserError(
            f"{len(bad)} of {len(paths)} files were not added:\n"
            + "\n".join(bad.values())
        )


def remove(export_dir, names):
    """Takes items out of the index. Raises ValueError that names unknown ids."""
    unknown = []
    with _opened(export_dir) as index:
        for some in _with_progress("Removing", list(dict.fromkeys(names))):
            unknown += [name for name in some if name not in index]
            index.delete(some)
        print(
            f"Removed {len(set(names)) - len(unknown)}; the index holds {len(index)}."
        )
    if unknown:
        raise UserError(f"Not in the index: {', '.join(unknown)}.")


def stats(export_dir, names):
    """Prints what the index holds and how it searches, as JSON."""
    _check_none(names, "stats")
    contents = read_contents(os.path.join(export_dir, "index"))
    print(json.dumps(contents.stats(), indent=1))


def compact(export_dir, names):
    """Builds a new index of all items, so that none is searched one by one."""
    _check_none(names, "compact")
    with _opened(export_dir) as index:
        print(f"Building an index of {len(index)} items.")
        index.compact()
        print(json.dumps(index.stats(), indent=1))


COMMANDS = {"add": add, "remove": remove, "stats": stats, "compact": compact}


@contextlib.contextmanager
def _opened(export_dir):
    with contextlib.closing(LiveIndex(os.path.join(export_dir, "index"))) as index:
        yield index
        index.wait()  # Closing would undo what many changes have started.


def _with_progress(what, names):
    """Some of the names at a time, with a bar that shows how far it is."""
    with progress(what, len(names), "items") as bar:
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            yield some
            bar.update(len(some))


def _images(path):
    """The path itself, or the images in the folder that it is."""
    if not os.path.isdir(path):
        return [path]
    return sorted(
        os.path.join(root, name)
        for root, _, names in os.walk(path)
        for name in names
        if has_image_extension(name) and not name.startswith(".")
    )


def _check_none(names, command):
    if names:
        raise UserError(f"`{command}` takes no files. Received: {' '.join(names)}.")
