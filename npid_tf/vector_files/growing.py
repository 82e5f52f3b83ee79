"""Embeddings on their way to a file: FILE.parts/, which an interrupted run leaves.

rows.npy has a row for each image. parts.json says up to which image they are computed,
the checksum of each part, which images could not be read, and of what all this is: the
encoder and the images. What belongs to others, or is damaged, is not used, and said.
"""

import contextlib
import json
import os
import shutil
import time
import zlib

import numpy as np

from npid_tf.files.formats import FORMATS, stamp
from npid_tf.files.run_lock import only_writer
from npid_tf.files.whole_files import write_whole

PART_ROWS = 4096
PART_SECONDS = 10


class GrowingRows:
    """Rows that are written in order; made by `growing_rows`.

    Attributes:
        embeddings: float32 [num_rows, dim], in a file.
        done: rows up to here are known: written, or left out.
        left_out: numbers of the rows that have no embedding.
    """

    def __init__(self, directory, num_rows, dim, key):
        self._rows_path = os.path.join(directory, "rows.npy")
        self._path = os.path.join(directory, "parts.json")
        self._key = json.loads(json.dumps({**key, "rows": num_rows, "dim": dim}))
        self.done, self.left_out, self._parts = 0, [], []
        record = self._read()
        is_new = record is None or not os.path.exists(self._rows_path)
        self.embeddings = (
            np.lib.format.open_memmap(
                self._rows_path, "w+", np.float32, (num_rows, dim)
            )
            if is_new
            else np.load(self._rows_path, mmap_mode="r+")
        )
        if not is_new:
            self._take_over(record)
        self._saved = time.monotonic()

    def write(self, rows, embeddings):
        """Sets rows, ascending from `done` on; those between them are left out."""
        self.embeddings[rows] = embeddings
        self._pass_to(int(rows[-1]) + 1, rows)
        old = self._parts[-1]["end"] if self._parts else 0
        waited = time.monotonic() - self._saved
        if self.done - old >= PART_ROWS or waited >= PART_SECONDS:
            self.save()

    def finish(self):
        """Leaves out all rows that were not written."""
        self._pass_to(len(self.embeddings), [])
        self.save()

    def save(self):
        """Puts on disk what is known, so that the next process goes on from here."""
        start = self._parts[-1]["end"] if self._parts else 0
        if self.done > start:
            self.embeddings.flush()
            crc32 = self._sum(start, self.done)
            self._parts.append({"end": self.done, "crc32": crc32})
            record = {
                **stamp("embeddings"),
                "key": self._key,
                "parts": self._parts,
                "left_out": self.left_out,
            }
            write_whole(self._path, json.dumps(record))
        self._saved = time.monotonic()

    def kept(self):
        """The embeddings without the rows that were left out, to be read once."""
        if not self.left_out:
            return self.embeddings
        keep = np.ones(len(self.embeddings), bool)
        keep[self.left_out] = False
        return _Rows(self.embeddings, np.flatnonzero(keep))

    def _pass_to(self, end, rows):
        missing = np.setdiff1d(np.arange(self.done, end), rows)
        self.left_out += missing.tolist()
        self.done = end

    def _sum(self, start, end):
        return zlib.crc32(np.ascontiguousarray(self.embeddings[start:end]).data)

    def _read(self):
        """parts.json, if it is of the same images and encoder; else None."""
        if not os.path.exists(self._path):
            return None
        try:
            with open(self._path, encoding="utf-8") as file:
                record = json.load(file)
            theirs = record["key"]
            if record["format"] != FORMATS["embeddings"]:
                theirs = {"format": record["format"]}
        except (OSError, ValueError, KeyError, TypeError):
            print(f"Not used, so computed again: {self._path} is damaged.")
            return None
        names = [n for n in self._key if theirs.get(n) != self._key[n]]
        if names:
            print(
                f"Not used, so computed again: {os.path.dirname(self._path)}, which "
                f"another run left, is of other {', '.join(names)}."
            )
            return None
        return record

    def _take_over(self, record):
        start = 0
        for part in record["parts"]:
            if self._sum(start, part["end"]) != part["crc32"]:
                print(
                    f"Not used, so computed again: {self._rows_path} is damaged from "
                    f"row {start} on."
                )
                break
            self._parts.append(part)
            start = part["end"]
        self.done = start
        self.left_out = [row for row in record["left_out"] if row < start]


class _Rows:
    """Some rows of an array, by slices."""

    def __init__(self, array, rows):
        self._array, self._rows = array, rows
        self.shape = (len(rows), array.shape[1])

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, some):
        return self._array[self._rows[some]]


@contextlib.contextmanager
def growing_rows(path, num_rows, dim, key):
    """`GrowingRows` beside the file `path`; at the end they are removed.

    If something is raised they stay, for the next call with the same key.

    key: dict of what determines the embeddings. Raises UserError where another process
    writes there.
    """
    directory = f"{path}.parts"
    with only_writer(directory):
        yield GrowingRows(directory, num_rows, dim, key)
        for name in ("parts.json", "rows.npy"):  # The lock is still held.
            os.remove(os.path.join(directory, name))
    shutil.rmtree(directory, ignore_errors=True)
