"""Reads a live index while another process changes it."""

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
    """The contents, and up to where the log was read."""

    files: LiveFiles
    contents: LiveContents
    num_records: int  # Records of the log that the contents include.
    size: int  # Their bytes.


class LiveReader:
    """Reads everything once, and afterwards only what is new; it writes no file.

    Any number of threads may call `follow`, and search at the same time.

    Args:
        index_dir: EXPORT/index.

    Attributes:
        loaded: `Loaded`.

    Raises:
        ValueError: as `LiveFiles`, and if a file is damaged.
    """

    def __init__(self, index_dir):
        self._index_dir = index_dir
        self._following = threading.Lock()
        self._warned = None
        self._left = None  # Manifest of an export that is ignored.
        self.loaded, self._seen = load(index_dir)

    @property
    def contents(self):
        return self.loaded.contents

    def follow(self):
        """Reads what was written since the last call. Returns `Loaded`.

        If nothing was written, this costs the status of three files. After a compaction
        or a new export of the same encoder, the caller waits for the new segment to be
        read; other threads continue with the old one. If it cannot follow (damage, an
        export of another encoder), it warns once and keeps the contents.
        """
        signature = self.loaded.files.signature()
        if signature != self._seen and self._following.acquire(blocking=False):
            try:
                self._take_in(signature)
            except (ValueError, OSError) as error:
                self._warn(str(error))
                if isinstance(error, ValueError):  # An OSError may pass: try again.
                    self._seen = signature
            finally:
                self._following.release()
        return self.loaded

    def _take_in(self, signature):
        if self._left is not None and signature[0] == self._left:
            return  # Written for another encoder.
        if signature[:2] == self._seen[:2]:
            self.loaded = _read_on(self.loaded)
            self._seen = signature
            return
        loaded, seen = load(self._index_dir)
        ours, theirs = (
            each.contents.segment.manifest["encoder_hash"]
            for each in (self.loaded, loaded)
        )
        if ours == theirs:
            self.loaded, self._seen = loaded, seen
            return
        self._warn(
            f"{self._index_dir} now holds the index of the encoder {theirs[:12]}, not "
            f"of {ours[:12]}, whose items are still searched. Open it again."
        )
        self._left = signature[0]

    def _warn(self, message):
        if message != self._warned:
            warnings.warn(f"The index cannot follow: {message}", stacklevel=4)
        self._warned = message


def load(index_dir):
    """(`Loaded`, signature): a consistent snapshot, whatever others write."""
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
        # A compaction or an export has removed what the manifest named: try again.


def _load(files):
    loaded = _read_on(Loaded(files, LiveContents(files.load_segment()), 0, 0))
    if not files.earlier_segment:
        return loaded
    contents = LiveContents(files.load_export())
    for change in carried_changes(files, loaded.contents, contents.segment):
        contents.apply(change)
    return loaded._replace(contents=contents)


def _read_on(loaded):
    """Applies the records of the log that the contents do not include yet."""
    files, contents, num_records, size = loaded
    last_number = files.manifest["last_number"] + num_records
    if os.path.exists(files.log):
        for payload, end in read(files.log, last_number, size):
            contents.apply(decode(payload, contents.segment.manifest["dim"]))
            num_records, size = num_records + 1, end
    return Loaded(files, contents, num_records, size)


def read_contents(index_dir):
    """The current `LiveContents` of an index, changes included.

    Works while another process has it open for writing, and writes no file.
    Raises ValueError as `LiveIndex`.
    """
    return LiveReader(index_dir).contents
