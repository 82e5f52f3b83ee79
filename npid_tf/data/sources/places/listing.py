"""Which images there are, and what is left out: a `Listing`, filled by the places."""

import collections
import contextlib
import gc
import os
import typing

from npid_tf.files.tables import write_csv

NOT_PLAIN = "pipes, links and other entries that are no plain files"
TWICE = "files named twice"
LINKED = "folders that are there already, by a link or named twice"
UNDECODED = "files that do not decode"
KINDS_TOLD = 12  # of what is left out, the most frequent ones


class Item(typing.NamedTuple):
    """One image.

    name: its path below its place, with "/". path: that of its place joined with it,
    the image's id. size: in bytes. times: three numbers that change with the
    content; None where nothing is there. label: its class, where the place tells
    it; None: the first sub-folder of its name. reader: function without arguments that
    returns the bytes; None for a file of this machine.
    """

    name: str
    path: str
    size: int
    times: tuple | None
    label: str | None = None
    reader: typing.Callable | None = None

    def read(self):
        """The bytes. Raises OSError, or what the library of the place raises."""
        if self.reader is not None:
            return self.reader()
        with open(self.path, "rb") as file:
            return file.read()


class LeftOut(typing.NamedTuple):
    """A file or folder that is no image of the data. kind: why, in the plural."""

    path: str
    kind: str
    detail: str = ""


class Listing:
    """Images in their order, and what is left out.

    items: {key: Item}; the key is the item's name, and with several places its path.
    left_out: `LeftOut`s. class_names: those of a place that numbers its classes itself.
    watched: {path: times} of the files of this machine that hold the images.
    """

    def __init__(self, by_path=False):
        self.items = {}
        self.left_out = []
        self.class_names = []
        self.watched = {}
        self._folders = {}
        self._by_path = by_path

    def add(self, item):
        """One image more; one that is there already is left out."""
        key = item.path if self._by_path else item.name
        if key in self.items:
            self.leave_out(item.path, TWICE)
            return
        self.items[key] = item
        if item.reader is None and item.times is not None:
            self.watched[item.path] = item.times

    def leave_out(self, path, kind, detail=""):
        self.left_out.append(LeftOut(path, kind, detail))

    def is_new_folder(self, path):
        """Whether a folder was not looked at before, by another name or link; if it
        was, it is left out."""
        stat = os.stat(path)
        first = self._folders.setdefault((stat.st_dev, stat.st_ino), path)
        if first is not path:
            self.leave_out(path, LINKED, f"the same as {first}")
        return first is path


def in_words(left_out):
    """What is left out, counted by reason: "12 .mp4 files, 3 hidden files"."""
    counts = collections.Counter(each.kind for each in left_out).most_common()
    told = [f"{count:,} {kind}" for kind, count in counts[:KINDS_TOLD]]
    others = sum(count for _, count in counts[KINDS_TOLD:])
    return ", ".join(told + [f"{others:,} of other kinds"] * bool(others))


def write_left_out(path, left_out):
    """Writes a CSV file of what is left out, one a line."""
    write_csv(path, ("path", "what", "detail"), left_out)


def stat_or_none(path):
    """os.stat, or None if there is nothing."""
    try:
        return os.stat(path)
    except OSError:
        return None


def times_of(stat):
    """What changes with a file's content, of its os.stat. A tool can put the time of
    modification back, but not the other (ctime), so both count."""
    return None if stat is None else (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@contextlib.contextmanager
def no_garbage():
    """While many objects are made that all stay: Python's collector would look at each
    of them again and again, for half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
