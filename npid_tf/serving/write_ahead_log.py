"""A file of records that survives a crash: what was appended is there afterwards."""

import os
import struct
import zlib

from npid_tf.errors import FileError, UserError

# Mark, number of the record, length and CRC-32 of its payload; then the CRC-32 of
# these, so that a damaged length is not taken for a record that was cut short.
_FIELDS = struct.Struct("<4sQQI")
_CHECK = struct.Struct("<I")
_HEADER_SIZE = _FIELDS.size + _CHECK.size
_MARK = b"\x8fNW\n"


class WriteAheadLog:
    """Appends records to a file; each is on disk before `append` returns.

    Records are numbered. Opening cuts a torn tail: the beginning of a record, which a
    crash left and nobody was told of. Damage before the last record is refused.

    Args:
        path: the file; made, empty, where it is missing.
        last_number: that of the record before the first.
        replay: called with the payload of each record that is there.

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
        sync_directory(os.path.dirname(path))

    def append(self, *payloads):
        """Writes records (bytes) and waits until they are on disk.

        Raises OSError where they cannot be: then they are not in the log, and if not
        even that is certain, later calls are refused until the log is reopened.
        """
        if self._failure is not None:
            raise FileError(
                f"{self.path} takes no more changes since a write to it failed "
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


def read(path, last_number=0):
    """The records of a log, up to a torn tail.

    Yields (payload, end): bytes, and where in the file the record ends.

    Raises ValueError where a record before the last is damaged or missing: what came
    after it was acknowledged, and must not be dropped in silence.
    """
    with open(path, "rb") as file:
        data = file.read()
    start = 0
    while start < len(data):
        payload = _payload_at(data, start, last_number + 1)
        if payload is None:
            _refuse_damage(path, data, start, last_number)
            return
        start += _HEADER_SIZE + len(payload)
        last_number += 1
        yield payload, start


def sync_directory(path):
    """Waits until the names in a folder are on disk, as fsync does for a file."""
    directory = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _pack(number, payload):
    fields = _FIELDS.pack(_MARK, number, len(payload), zlib.crc32(payload))
    return fields + _CHECK.pack(zlib.crc32(fields)) + payload


def _write_all(file, data):
    written = 0
    while written < len(data):
        written += os.write(file, memoryview(data)[written:])
    return written


def _header_at(data, start):
    """(number, length, checksum) of the record at `start`, or None where none is."""
    header = data[start : start + _HEADER_SIZE]
    if len(header) < _HEADER_SIZE or header[: len(_MARK)] != _MARK:
        return None
    if zlib.crc32(header[: _FIELDS.size]) != _CHECK.unpack(header[_FIELDS.size :])[0]:
        return None
    return _FIELDS.unpack(header[: _FIELDS.size])[1:]


def _payload_at(data, start, number):
    """The payload of record `number` at `start`, or None where it is not whole."""
    header = _header_at(data, start)
    if header is None or header[0] != number:
        return None
    _, length, checksum = header
    begin = start + _HEADER_SIZE
    payload = data[begin : begin + length]
    whole = len(payload) == length and zlib.crc32(payload) == checksum
    return payload if whole else None


def _refuse_damage(path, data, start, last_number):
    """Raises ValueError if a record follows, or stands at, the damage at `start`.

    A crash leaves the beginning of one record, at the end.
    """
    position = start
    while (position := data.find(_MARK, position)) >= 0:
        header = _header_at(data, position)
        if header is not None and _payload_at(data, position, header[0]) is not None:
            raise UserError(
                f"{path} is damaged at byte {start}: record {last_number + 1} is not "
                f"whole, but record {header[0]} stands at byte {position}. Changes "
                "from there on cannot be trusted: restore the folder from a backup, or "
                "move it away to begin again from the export."
            )
        position += 1
