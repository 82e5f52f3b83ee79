"""The position of each record of TFRecord files, without reading its content.

A record is its length (8 bytes), a checksum of that (4), its bytes, and a checksum of
them (4): which is enough to find the next one and to distinguish contents.
"""

import concurrent.futures
import dataclasses
import os
import struct

import numpy as np
import tensorflow as tf

from npid_tf.errors import FileError

HEADER, FOOTER = 12, 4  # bytes around those of a record


@dataclasses.dataclass(frozen=True)
class Records:
    """Records of several files, in their order.

    filenames: list; file_of: int64 [n], which of them a record is in; offsets, lengths:
    int64 [n], of its bytes; checksums: uint32 [n].
    """

    filenames: list
    file_of: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    checksums: np.ndarray

    def read(self, index):
        """The bytes of a record. Raises FileError if there are fewer."""
        name = self.filenames[self.file_of[index]]
        length = int(self.lengths[index])
        try:
            with _open(name) as file:
                return _read(file, name, int(self.offsets[index]), length)
        except FileError:
            raise
        except (OSError, tf.errors.OpError) as error:
            raise FileError(f"{name} cannot be read: {error}") from error


def find_records(parts):
    """`Records` of parts of files: (filename, records to skip, records to take).

    Raises FileError, naming it, for a file that is missing, cut or damaged.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda part: _find_in_file(*part), parts))
    columns = np.concatenate(found).T
    return Records(
        [name for name, _, _ in parts],
        np.repeat(np.arange(len(parts)), [len(each) for each in found]),
        columns[0],
        columns[1],
        columns[2].astype(np.uint32),
    )


def _find_in_file(name, skip, take):
    """int64 [take, 3]: offset, length and checksum of each record."""
    rows = np.empty([take, 3], np.int64)
    offset = 0
    try:
        with _open(name) as file:
            header = _read(file, name, 0, HEADER)
            for number in range(skip + take):
                (length,) = struct.unpack("<Q", header[:8])
                end = offset + HEADER + length
                is_last = number + 1 == skip + take
                # The end of this record and the beginning of the next, at once.
                size = FOOTER if is_last else FOOTER + HEADER
                ahead = _read(file, name, end, size)
                if number >= skip:
                    (checksum,) = struct.unpack("<I", ahead[:FOOTER])
                    rows[number - skip] = offset + HEADER, length, checksum
                offset, header = end + FOOTER, ahead[FOOTER:]
    except FileError:
        raise
    except (OSError, OverflowError, tf.errors.OpError) as error:
        raise FileError(f"{name} cannot be read: {error}") from error
    return rows


def _open(name):
    if "://" in name:
        return tf.io.gfile.GFile(name, "rb")
    return open(name, "rb", buffering=0)  # Reading ahead would read everything.


def _read(file, name, offset, size):
    file.seek(offset)
    content = file.read(size)
    if len(content) != size:
        raise FileError(
            f"{name} is cut or damaged: it ends within a record, at byte "
            f"{offset + len(content)}. Prepare the data set again."
        )
    return content


def signature(filenames):
    """[size, mtime, ctime] of each file, which change with what it holds."""
    if any("://" in name for name in filenames):
        stats = [tf.io.gfile.stat(name) for name in filenames]
        return [[stat.length, stat.mtime_nsec, 0] for stat in stats]
    stats = [os.stat(name) for name in filenames]
    return [[stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for stat in stats]
