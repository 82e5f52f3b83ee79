"""A live index as its files tell, read beside the process that changes them."""

import os
import threading
import typing
import warnings

from npid_tf.search.changes import decode
from npid_tf.search.live.carry_over import carried_changes
from npid_tf.search.live.contents import LiveContents
from npid_tf.search.live.files import LiveFiles
from npid_tf.search.live.write_ahead_log import read


class Loaded(typing.NamedTuple):
    """What was read, and how far."""

    files: LiveFiles
    contents: LiveContents
    num_records: int  # Of the log, which are in the contents.
    size: int  # Bytes that they take.


class LiveReader:
    """Reads all, and later what was written since; it changes no file.

    Any number of threads may call `follow`; searches of others go on meanwhile.

    Args:
        index_dir: EXPORT/index.

    Attributes:
        loaded: `Loaded`.

    Raises:
        ValueError: as `LiveFiles`, and where a file is damaged.
    """

    def __init__(self, index_dir):
        self._index_dir = index_dir
        self._following = threading.Lock()
        self._warned = None
        self._left = None  # The manifest of an export that is not followed to.
        self.loaded, self._seen = load(index_dir)

    @property
    def contents(self):
        return self.loaded.contents

    def follow(self):
        """Takes in what was written since. Returns `Loaded`.

        Looks at three files where nothing was. After a compaction or a new export of
        the same encoder it reads the new index, which the caller waits for; others go
        on with what there was. What cannot be followed (damage, an export of another
        encoder) warns once, and the contents stay as they are.
        """
        signature = self.loaded.files.signature()
        if signature != self._seen and self._following.acquire(blocking=False):
            try:
                self._take_in(signature)
            except (ValueError, OSError) as error:
                self._warn(str(error))
                if isinstance(error, ValueError):  # Else it may pass: try again.
                    self._seen = signature
            finally:
                self._following.release()
        return self.loaded

    def _take_in(self, signature):
        if self._left is not None and signature[0] == self._left:
            return  # What is written there is of another encoder.
        if signature[:2] == self._seen[:2]:
            self.loaded = _read_on(self.loaded)
            self._seen = signature
            return
        loaded, seen = load(self._index_dir)
        ours, theirs = (
            each.contents.base.manifest["encoder_hash"]
            for each in (self.loaded, loaded)
        )
        if ours == theirs:
            self.loaded, self._seen = loaded, seen
            return
        self._warn(
            f"{self._index_dir} now holds the index of the encoder {theirs[:12]}, not "
            f"of {ours[:12]}, whose items go on being searched. Open it again."
        )
        self._left = signature[0]

    def _warn(self, message):
        if message != self._warned:
            warnings.warn(f"The index is not followed: {message}", stacklevel=4)
        self._warned = message


def load(index_dir):
    """(`Loaded`, signature) of an index at one moment, whatever others write."""
    while True:
        files = LiveFiles(index_dir)
        signature, place = files.signature(), files.place()
        try:
            loaded = _load(files)
        except (OSError, ValueError):
            now = LiveFiles(index_dir)
            if (now.manifest, now.place()) == (files.manifest, place):
                raise
        else:
            if LiveFiles(index_dir).manifest == files.manifest:
                return loaded, signature
        # A compaction or an export has removed what the manifest named: look again.


def _load(files):
    loaded = _read_on(Loaded(files, LiveContents(files.load_base()), 0, 0))
    if not files.earlier_base:
        return loaded
    contents = LiveContents(files.load_export())
    for change in carried_changes(files, loaded.contents, contents.base):
        contents.apply(change)
    return loaded._replace(contents=contents)


def _read_on(loaded):
    """With the records of the log that are not in the contents yet."""
    files, contents, num_records, size = loaded
    last_number = files.manifest["last_number"] + num_records
    if os.path.exists(files.log):
        for payload, end in read(files.log, last_number, size):
            contents.apply(decode(payload, contents.base.manifest["dim"]))
            num_records, size = num_records + 1, end
    return Loaded(files, contents, num_records, size)


def read_contents(index_dir):
    """The `LiveContents` of an index as they are now, changes included.

    Reads beside a process that has it open, and changes no file.
    Raises ValueError as `LiveIndex`.
    """
    return LiveReader(index_dir).contents
