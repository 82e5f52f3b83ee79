"""Pictures of the images that an index was exported with.

Of a folder's images each needs its own file alone: that others came or went is no
matter. All other data are opened when the first picture is asked for. An id is what
someone called an image, and never a reason to open a file: only those that the export
wrote are, `names`, and for them the export tells of which folder.
"""

import functools
import json
import os
import stat
import threading

import tensorflow as tf

from npid_tf.data.decode import pixels
from npid_tf.data.decoding.rules import DEFAULT, Decoding
from npid_tf.data.decoding.with_pillow import decode_file
from npid_tf.data.shrink import small_file
from npid_tf.errors import UserError
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import write_whole

SIDE = 160  # pixels
DIGESTS = "digests.json"  # of an index's folder


def describe_pictures(paths, read_at=0):
    """What a manifest says of the images of an index: a dict for JSON.

    paths: their ids, or None if these are numbers; read_at: when the images began to be
    read, in seconds since 1970.
    """
    are_files = paths is not None and any(map(os.path.isfile, paths))
    kind = "files" if are_files else "rows"
    return {"kind": kind, "folder": os.getcwd(), "read_at": read_at}


class ExportedFiles:
    """Pictures of those ids that are paths of files.

    names: ids that the export wrote; folder: of relative paths; read_at: when they
    began to be read, in seconds since 1970; index_dir: where `write_digests` wrote;
    decoding: how they become pixels.
    """

    def __init__(self, names, folder, read_at=0, index_dir=None, decoding=DEFAULT):
        self.names = frozenset(map(str, names))
        self.read_at = read_at
        self._folder = folder
        self._decoding = decoding
        self._digests = functools.cache(lambda: _read_digests(index_dir))

    def path(self, name):
        """The absolute path of a file, or None for an id that is none of `names`."""
        return os.path.join(self._folder, name) if name in self.names else None

    def digest(self, name):
        """Of the bytes that a file had; None: not known."""
        return self._digests().get(name)

    def has(self, name):
        """Whether the file is there."""
        return times_of(self.path(name)) is not None

    def picture(self, name, side=SIDE):
        """The bytes of a small PNG or JPEG, or None."""
        return picture_of_file(self.path(name), side, self._decoding)


class ExportedRows:
    """Pictures of ids that are images of any other data set.

    names: ids that the export wrote; open_source: returns the source (see
    data/sources), or None if it is not to be had.
    """

    def __init__(self, names, open_source):
        self.names = frozenset(map(str, names))
        self._open_source = functools.cache(lambda: _with_rows(open_source()))
        self._opening = threading.Lock()  # A page asks for many at once.
        self._is_lost = False
        self.picture = functools.lru_cache(maxsize=4096)(self._picture)

    def path(self, name):
        return None

    def has(self, name):
        """Whether there is such an image, as far as is known before it is read."""
        return name in self.names and not self._is_lost

    def _picture(self, name, side=SIDE):
        if not self.has(name):
            return None
        with self._opening:
            source, rows = self._open_source()
        self._is_lost = source is None
        if name not in rows:
            return None
        record = source.read(tf.constant(rows[name], tf.int64))
        return small_file(pixels(tf.convert_to_tensor(record), source.decoding), side)


def _with_rows(source):
    """(source, the row of each id)"""
    if source is None:
        return None, {}
    names = source.paths or range(source.num_instances)
    return source, {str(name): row for row, name in enumerate(names)}


class NoneExported:
    """Of an index without any."""

    names = frozenset()

    def path(self, name):
        return None

    def has(self, name):
        return False

    def picture(self, name, side=SIDE):
        return None


def exported_pictures(manifest, names, open_source, index_dir=None):
    """Those of an index, by what its manifest says.

    names: ids that the export wrote; open_source: turns the manifest's `data` into a
    source, or None; index_dir: its folder, if it has one.
    """
    data = manifest.get("data") or {}
    described = manifest.get("pictures") or _described_before(data)
    if described["kind"] == "files":
        read_at = described.get("read_at", 0)
        return ExportedFiles(
            names, described["folder"], read_at, index_dir, Decoding.of(data)
        )
    if "dataset" not in data:
        return NoneExported()
    return ExportedRows(names, functools.partial(open_source, data))


def _described_before(data):
    """What exports without a description are like: their paths are as the flag was."""
    kind, _, _ = data.get("dataset", "").partition(":")
    is_folder = kind == "folder" or os.path.isdir(data.get("dataset", ""))
    return {"kind": "files" if is_folder else "rows", "folder": os.getcwd()}


def write_digests(index_dir, digests):
    """Writes the digests of exported files, {id: digest}, into an index's folder."""
    record = {**stamp("pictures"), "digests": digests}
    write_whole(os.path.join(index_dir, DIGESTS), json.dumps(record))


def _read_digests(index_dir):
    """The same; none if there is no file, or no whole one: they only spare work."""
    path = os.path.join(index_dir or "", DIGESTS)
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        check_format(record, "pictures", path)
        return dict(record["digests"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def times_of(path):
    """[size, mtime_ns, ctime_ns] of a file; None if there is none, or path is None."""
    try:
        found = os.stat(path) if path is not None else None
    except (OSError, ValueError):
        return None
    if found is None or not stat.S_ISREG(found.st_mode):
        return None  # Reading anything else might never end.
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def picture_of_file(path, side=SIDE, decoding=DEFAULT):
    """The bytes of a small PNG or JPEG of an image file, or None."""
    times = times_of(path)
    return None if times is None else _picture_of_file(path, side, decoding, *times)


@functools.lru_cache(maxsize=4096)
def _picture_of_file(path, side, decoding, *times):
    try:
        with open(path, "rb") as file:
            return picture_of_bytes(file.read(), side, decoding)
    except OSError:
        return None


def picture_of_bytes(data, side=SIDE, decoding=DEFAULT):
    """The same of the bytes of such a file."""
    try:
        return small_file(tf.constant(decode_file(data, decoding)), side)
    except UserError:
        return None


def pictures_of_bytes(files):
    """`picture_of_bytes` of each, one after the other: each is decoded whole."""
    return [picture_of_bytes(data) for data in files]
