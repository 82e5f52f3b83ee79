"""The positions and labels of the records of a data set, read once and kept."""

import hashlib
import json
import os
import zipfile
import zlib

import numpy as np

from npid_tf.data.sources.contents import Watched
from npid_tf.data.sources.records import Records, find_records, signature
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import open_whole


class RecordTable:
    """What is known of parts of files, as long as they do not change.

    Args:
        parts: (filename, records to skip, records to take) of each file.
        tables: folder that keeps it, below a workdir; None: keep no table.
    """

    def __init__(self, parts, tables=None):
        self._parts = parts
        self._names = [name for name, _, _ in parts]
        name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        self._path = tables and os.path.join(tables, f"{name}.npz")
        self._signature = signature(self._names)
        self._watched = Watched(dict(zip(self._names, self._signature, strict=True)))
        self._columns = self._read()
        self._is_new = not self._columns

    def records(self):
        """The `Records`. Raises FileError as `find_records`."""
        names = ("file_of", "offsets", "lengths", "checksums")
        if not self._columns:
            found = find_records(self._parts)
            self._columns = {name: getattr(found, name) for name in names}
        return Records(self._names, *(self._columns[name] for name in names))

    def column(self, name, read):
        """The array that `read()` returns, from the table if it is there."""
        if name not in self._columns:
            self._columns[name] = np.asarray(read())
            self._is_new = True
        return self._columns[name]

    def digest(self):
        """Tells the contents of the records apart, by their lengths and checksums."""
        digest = hashlib.blake2b(digest_size=16)
        for name in ("lengths", "checksums"):
            digest.update(np.ascontiguousarray(self._columns[name]).tobytes())
        return digest.hexdigest()

    def save(self):
        """Writes it, if it changed, into an existing workdir."""
        if not self._is_new or self._path is None:
            return
        if not os.path.isdir(os.path.dirname(os.path.dirname(self._path))):
            return
        record = {**stamp("features"), "files": self._signature}
        try:
            with open_whole(self._path, "wb") as file:
                np.savez(file, record=np.array(json.dumps(record)), **self._columns)
        except OSError as error:  # It only spares time.
            print(f"Not saved, so read again next time: {self._path}: {error}")
        self._is_new = False

    def _read(self):
        if self._path is None or not os.path.exists(self._path):
            return {}
        try:
            with np.load(self._path) as file:
                columns = {name: file[name] for name in file.files}
            record = json.loads(str(columns.pop("record")))
            files = record["files"]
        except (OSError, ValueError, KeyError, EOFError, TypeError, zlib.error,
                zipfile.BadZipFile):  # fmt: skip
            print(f"All records are read again: {self._path} is damaged.")
            return {}
        check_format(record, "features", self._path)
        if files != self._signature:
            print(f"Not used: the records changed since {self._path} was written.")
            return {}
        return columns
