"""A write-ahead log: records that survive a crash once they are acknowledged.

Ours, and not SQLite's, which stops reading at the first damaged record as if it were
the end: here an incomplete last record is discarded, since no one was told that it was
there, and any other damage is an error. The file is read in thirty lines.
"""

import os
import struct
import zlib

from npid_tf.errors import FileError, UserError
from npid_tf.files.version import __version__
from npid_tf.files.whole_files import sync_folder

# Mark, number of the record, length and CRC-32 of its payload; then the CRC-32 of
# these, so that a damaged length is not mistaken for an incomplete record.
_FIELDS = struct.Struct("<4sQQI")
_CHECK = struct.Struct("<I")
_HEADER_SIZE = _FIELDS.size + _CHECK.size
# The mark's last byte is the format of the record: this one is of "live index" 0 and 1.
_MARK = b"\x8fNW\n"


class WriteAheadLog:
    """Appends records to a file; each is on disk before `append` returns.

    Records are numbered. Opening truncates a torn tail: an incomplete record, left by
    a crash and never acknowledged. Any other damage is refused.

    Args:
        path: the file; created if it does not exist.
        last_number: number of the record before the first.
        replay: called with the payload of each existing record.

    Raises:
        ValueError: for damage, see `read`.
    """

    def __init__(self, path, last_number=0, replay=lambda payload: None):
        self.path = path
        self.num_records, self.size = 0, 0
        if os.path.exists(path):
            for payload, end in read(path, last_number):
                replay(payload)
                self.num_records += 1
                self.size = end
        self.last_number = last_number + self.num_records
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.bytes_cut = os.fstat(self._file).st_size - self.size
        self._failure = None
        self._cut()
        sync_folder(os.path.dirname(path) or ".")

    def append(self, *payloads):
        """Writes records (bytes) and waits until they are on disk.

        Raises OSError if that fails: the records are then not in the log, and if even
        that is uncertain, later calls are refused until the log is reopened.
        """
        if self._failure is not None:
            raise FileError(
                f"{self.path} accepts no more changes, because a write to it failed "
                f"({self._failure}). Open the index again."
            )
        numbers = range(self.last_number + 1, self.last_number + 1 + len(payloads))
        size = 0
        try:
            os.lseek(self._file, self.size, os.SEEK_SET)
            for number, payload in zip(numbers, payloads, strict=True):
                size += _write_all(self._file, _pack(number, payload))
            os.fsync(self._file)
        except OSError as error:
            self._take_back(error)
            raise FileError(f"Could not write to {self.path}: {error}.") from error
        self.last_number += len(payloads)
        self.num_records += len(payloads)
        self.size += size

    def _take_back(self, error):
        try:
            self._cut()
        except OSError:
            self._failure = error

    def _cut(self):
        os.ftruncate(self._file, self.size)
        os.fsync(self._file)

    def close(self):
        os.close(self._file)


def read(path, last_number=0, begin=0):
    """The records of a log, up to a torn tail.

    begin: offset in the file of the record after `last_number`.

    Yields (payload, end): bytes, and the offset where the record ends.

    Raises ValueError if a record is damaged or missing, rather than incomplete: it and
    its successors were acknowledged, and must not be dropped silently.
    """
    with open(path, "rb") as file:
        file.seek(begin)
        data = file.read()
    start = 0
    while start < len(data):
        payload = _payload_at(data, start, last_number + 1)
        if payload is None:
            _refuse_damage(path, data, start, last_number, begin)
            return
        start += _HEADER_SIZE + len(payload)
        last_number += 1
        yield payload, begin + start


def _pack(number, payload):
    fields = _FIELDS.pack(_MARK, number, len(payload), zlib.crc32(payload))
    return fields + _CHECK.pack(zlib.crc32(fields)) + payload


def _write_all(file, data):
    written = 0
    while written < len(data):
        written += os.write(file, memoryview(data)[written:])
    return written


def _header_at(data, start):
    """(number, length, checksum) of the record at `start`, or None."""
    header = data[start : start + _HEADER_SIZE]
    if len(header) < _HEADER_SIZE or header[: len(_MARK)] != _MARK:
        return None
    if zlib.crc32(header[: _FIELDS.size]) != _CHECK.unpack(header[_FIELDS.size :])[0]:
        return None
    return _FIELDS.unpack(header[: _FIELDS.size])[1:]


def _payload_at(data, start, number):
    """The payload of record `number` at `start`, or None if it is incomplete."""
    header = _header_at(data, start)
    if header is None or header[0] != number:
        return None
    _, length, checksum = header
    begin = start + _HEADER_SIZE
    payload = data[begin : begin + length]
    whole = len(payload) == length and zlib.crc32(payload) == checksum
    return payload if whole else None


def _refuse_damage(path, data, start, last_number, begin):
    """Raises ValueError if there is damage at `start`, not an incomplete record.

    A crash leaves the beginning of one record at the end of the file; a power failure
    may leave zeros there. begin: offset of the data in the file.
    """
    _refuse_newer(path, data, start)
    broken = (
        f"{path} is damaged at byte {begin + start}: record {last_number + 1} is "
        "incomplete, but"
    )
    position = start
    while (position := data.find(_MARK, position)) >= 0:
        header = _header_at(data, position)
        if header is not None and _payload_at(data, position, header[0]) is not None:
            raise UserError(
                f"{broken} record {header[0]} is at byte {begin + position}. "
                "Changes from there on cannot be trusted: restore the folder from a "
                "backup, or move it away to start from the export."
            )
        position += 1
    if _is_last_and_damaged(data, start):
        raise UserError(
            f"{broken} not by a crash. It may have been acknowledged: restore the "
            "folder from a backup, or give up that last change with `truncate "
            f"--size={begin + start} {path}`."
        )


def _refuse_newer(path, data, start):
    """Raises ValueError for a record written by a later version of the package."""
    mark, other = _MARK[:-1], data[start : start + _HEADER_SIZE]
    if len(other) < _HEADER_SIZE or not other.startswith(mark) or other[3] == _MARK[3]:
        return
    if zlib.crc32(other[: _FIELDS.size]) == _CHECK.unpack(other[_FIELDS.size :])[0]:
        raise UserError(
            f"{path} holds changes in a format that npid_tf {__version__} does not "
            "know: install a newer npid_tf."
        )


def _is_last_and_damaged(data, start):
    """Whether there is a record, or header, of full length at `start`, but damaged."""
    record = data[start:]
    if len(record) < _HEADER_SIZE:
        return False
    marked = _MARK + record[len(_MARK) : _FIELDS.size]
    checksum = _CHECK.unpack(record[_FIELDS.size : _HEADER_SIZE])[0]
    if zlib.crc32(marked) != checksum:  # More than the mark differs.
        return record.startswith(_MARK) and any(record[-_HEADER_SIZE:])
    _, _, length, _ = _FIELDS.unpack(marked)
    payload = record[_HEADER_SIZE:]
    return len(payload) >= length and any(payload[-_HEADER_SIZE:])
