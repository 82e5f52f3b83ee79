"""Digests of files, without reading unchanged files again.

What a file held is known by its size and its times of change. A tool can put the
modification time back, but not the other (ctime), so both count.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import time
import weakref

import tensorflow as tf

from npid_tf.data.decode import decode
from npid_tf.errors import FileError
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import open_whole

# Clocks of file systems tick every few milliseconds: a file that is read in the tick
# of its writing could be written again unseen.
TICK = 0.05  # seconds
_WATCHED = weakref.WeakSet()  # Files of all data in use, for `naming_lost_files`


class Contents:
    """Digests of the files of a folder; those that were read before come from a table.

    Args:
        directory: of the files.
        tables: folder of such tables, below a workdir; None: keep no table.
    """

    def __init__(self, directory, tables=None):
        self.directory = directory
        self._path = None
        if tables is not None:
            place = os.fsencode(os.path.realpath(directory))
            name = hashlib.sha256(place).hexdigest()[:16]
            self._path = os.path.join(tables, f"{name}.json")
        self._kept = self._read_table()
        self._digests = {}
        self._times = {}  # {name: [size, mtime_ns, ctime_ns]} of what was asked for
        self._watched = Watched({})

    def digest_images(self, stats):
        """The digest of each file's bytes, or None if it does not decode.

        stats: {name: os.stat_result}, None for those that are not there.
        """
        times = {name: _times(stat) for name, stat in stats.items()}
        self._times |= {name: each for name, each in times.items() if each}
        self._watched.times = {
            os.path.join(self.directory, name): each
            for name, each in self._times.items()
        }
        unread = [
            name
            for name, each in times.items()
            if each is None or self._kept.get(name, [None])[:-1] != each
        ]
        _let_tick([times[name][2] for name in unread if times[name]])
        with concurrent.futures.ThreadPoolExecutor() as pool:
            new = dict(zip(unread, pool.map(self._digest_image, unread), strict=True))
        digests = {
            name: new[name] if name in new else self._kept[name][-1] for name in stats
        }
        self._digests |= digests
        return digests

    def save(self):
        """Writes the table, if it changed, into an existing workdir."""
        table = {
            name: [*self._times[name], digest]
            for name, digest in self._digests.items()
            if digest is not None and name in self._times
        }
        if self._path is None or table == self._kept:
            return
        workdir = os.path.dirname(os.path.dirname(self._path))
        if not os.path.isdir(workdir):
            return
        record = {**stamp("features"), "directory": str(self.directory), "files": table}
        try:
            with open_whole(self._path) as file:
                json.dump(record, file)
        except OSError as error:  # It only spares time.
            print(f"Not saved, so read again next time: {self._path}: {error}")
        self._kept = table

    def _digest_image(self, name):
        try:
            with open(os.path.join(self.directory, name), "rb") as file:
                content = file.read()
            decode(tf.constant(content))
        except (OSError, tf.errors.OpError):
            return None
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def _read_table(self):
        if self._path is None or not os.path.exists(self._path):
            return {}
        try:
            with open(self._path, encoding="utf-8") as file:
                record = json.load(file)
            table = record["files"]
            is_whole = all(len(entry) == 4 for entry in table.values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            is_whole = False
        if not is_whole:
            print(f"All images are read again: {self._path} is damaged.")
            return {}
        check_format(record, "features", self._path)
        return table


class Watched:
    """Files that `naming_lost_files` names if they go or change, while this is kept.

    times: {path: [size, mtime_ns, ctime_ns]}.
    """

    def __init__(self, times):
        self.times = times
        _WATCHED.add(self)

    def lost(self):
        """Paths of the files that are gone or changed."""
        return [
            path
            for path, times in self.times.items()
            if "://" not in path and _times(stat_or_none(path)) != times
        ]


def stat_or_none(path):
    """os.stat, or None if there is nothing."""
    try:
        return os.stat(path)
    except OSError:
        return None


@contextlib.contextmanager
def naming_lost_files():
    """Names the files that went or changed while images were read, if that is why it
    failed: TensorFlow's errors become FileError."""
    try:
        yield
    except tf.errors.OpError as error:
        lost = sorted({path for each in _WATCHED for path in each.lost()})
        if not lost:
            raise
        raise FileError(
            f"{len(lost)} files of the data went or changed while they were read: "
            f"{', '.join(lost[:3])}{', ...' * (len(lost) > 3)}. Put them back and run "
            "the same command again: training goes on from its last checkpoint. To do "
            "without them, start in a new --workdir."
        ) from error


def _times(stat):
    return None if stat is None else [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _let_tick(ctimes):
    newest = max(ctimes, default=0) / 1e9
    time.sleep(min(max(newest + TICK - time.time(), 0), TICK))
