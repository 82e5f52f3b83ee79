"""Digests of images, without reading unchanged files again.

What a file held is known by its size and its times of change.
"""

import contextlib
import hashlib
import json
import os
import time
import weakref

import tensorflow as tf

from npid_tf.data.decoding.rules import DEFAULT
from npid_tf.data.sources.places.digests import digest_all
from npid_tf.data.sources.places.listing import stat_or_none, times_of
from npid_tf.errors import FileError
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import open_whole

# Clocks of file systems tick every few milliseconds: a file that is read in the tick
# of its writing could be written again unseen.
TICK = 0.05  # seconds
_WATCHED = weakref.WeakSet()  # Files of all data in use, for `naming_lost_files`


class Contents:
    """Digests of the images of a data set; those read before come from a table.

    Args:
        places: of the images, as in `list_images`.
        tables: folder of such tables, below a workdir; None: keep no table.
        decoding: how images must decode.
    """

    def __init__(self, places, tables=None, decoding=DEFAULT):
        self._decoding = decoding
        self.places = os.fspath(places)
        self._path = None
        if tables is not None:
            is_folder = os.path.isdir(self.places)
            place = os.path.realpath(self.places) if is_folder else self.places
            name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
            self._path = os.path.join(tables, f"{name}.json")
        self._kept = self._read_table()
        self._digests = {}
        self._is_saved = True
        self._times = {}  # {key: of what was asked for}
        self._watched = Watched({})
        self.reasons = {}  # {key: why it does not decode}

    def digest_images(self, listing):
        """{key: digest of the image's bytes, or None if it does not decode} of all.

        `reasons` then tells why.
        """
        self._watched.times = listing.watched
        self._times = {key: item.times for key, item in listing.items.items()}
        digests, unread = {}, []
        for key, times in self._times.items():
            entry = self._kept.get(key)
            if times is None or entry is None or entry[:3] != times:
                unread.append(key)
                digests[key] = None  # For their order.
            else:
                digests[key] = entry[3]
        self._is_saved = not unread and len(digests) == len(self._kept)
        # Clocks of file systems only: those of services are not ours.
        items = [listing.items[key] for key in unread]
        _let_tick([item.times[2] for item in items if item.times])
        for number, digest, reason in digest_all(items, self._decoding):
            digests[unread[number]] = digest
            if digest is None:
                self.reasons[unread[number]] = reason
        self._digests = digests
        return digests

    def save(self):
        """Writes the table, if it changed, into an existing workdir."""
        if self._path is None or self._is_saved:
            return
        table = {
            key: (*self._times[key], digest)
            for key, digest in self._digests.items()
            if digest is not None
        }
        workdir = os.path.dirname(os.path.dirname(self._path))
        if table == self._kept or not os.path.isdir(workdir):
            return
        record = {**stamp("features"), "directory": self.places, "files": table}
        try:
            with open_whole(self._path) as file:
                json.dump(record, file)
        except OSError as error:  # It only spares time.
            print(f"Not saved, so read again next time: {self._path}: {error}")
        self._kept, self._is_saved = table, True

    def _read_table(self):
        if self._path is None or not os.path.exists(self._path):
            return {}
        try:
            with open(self._path, encoding="utf-8") as file:
                record = json.load(file)
            table = record["files"]
            # Tuples of numbers and texts are nothing for the collector of garbage.
            table = {key: tuple(entry) for key, entry in table.items()}
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
            if times_of(stat_or_none(path)) != times
        ]


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
            f"{', '.join(lost[:3])}{', ...' * (len(lost) > 3)}. Run the same command "
            "again: training goes on from its last checkpoint, with the files that are "
            "there then."
        ) from error


def _let_tick(ctimes):
    newest = max(ctimes, default=0) / 1e9
    time.sleep(min(max(newest + TICK - time.time(), 0), TICK))
