"""Items of an index that are image files: embedded, put into it, and what is known."""

import concurrent.futures
import contextlib
import hashlib
import os

from npid_tf.command_line.progress import progress
from npid_tf.pictures.exported import picture_of_bytes, times_of
from npid_tf.pictures.pictures import pictures_of_folder
from npid_tf.pictures.store import Known
from npid_tf.saved_models.exported import embed_files
from npid_tf.search.live.index import LiveIndex

AT_ONCE = 64


@contextlib.contextmanager
def opened(export_dir):
    """(index, pictures) of an export, to change them."""
    directory = os.path.join(export_dir, "index")
    with contextlib.closing(LiveIndex(directory)) as index:
        pictures = pictures_of_folder(directory, lambda data: None)
        with contextlib.closing(pictures.store):
            pictures.store.check()
            yield index, pictures
            index.wait()  # Closing would undo what many changes have started.


def put_files(index, pictures, encoder, path_of):
    """Embeds files and puts them into the index, in place of those with the same ids.

    path_of: {id: path}, few enough to be in memory at once. An item that was there
    keeps its label. Returns {id: what is wrong} of files that cannot be embedded.
    """
    times = {path: times_of(path) for path in path_of.values()}
    embeddings, good, bad = embed_files(encoder, list(times))
    row_of = {path: row for row, path in enumerate(good)}
    done = {name: path for name, path in path_of.items() if path in row_of}
    rows = [row_of[path] for path in done.values()]
    _say_files(pictures, done)
    index.upsert(list(done), embeddings[rows], index.labels(done))
    keep_files(pictures, done, times)
    return {
        name: reason
        for path, reason in bad.items()
        for name, own in path_of.items()
        if own == path
    }


def keep_files(pictures, path_of, times):
    """Keeps picture, digest and times of the files that items are: {id: path}.

    times: {path: `times_of` it before it was embedded}.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        known = pool.map(lambda path: _known(path, times[path]), path_of.values())
        pictures.store.put(dict(zip(path_of, known, strict=True)))


def _say_files(pictures, path_of):
    # If this is killed between the two, a replaced item has its new file's picture,
    # and no digest of the old one.
    known = pictures.store.find(path_of)
    old = known.keys() | (pictures.exported.names & path_of.keys())
    pictures.store.put({name: Known(os.path.abspath(path_of[name])) for name in old})


def _known(path, times):
    place = os.path.abspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return Known(place)
    if times is None or times_of(path) != times:  # It changes while it is read.
        return Known(place, picture=picture_of_bytes(data))
    return Known(place, digest_of_bytes(data), times, picture_of_bytes(data))


def digest_of_bytes(data):
    """As the digests of images in a run's manifest."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of_file(path):
    """The same of a file; None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return digest_of_bytes(file.read())
    except OSError:
        return None


def in_parts(what, names):
    """Some of the names at a time, with a bar that shows how far it is."""
    with progress(what, len(names), "items") as bar:
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            yield some
            bar.update(len(some))
