"""Sealed files: a last line with a checksum of all before it.

The last line is a JSON object of the format, the version of the package and the
SHA-256 of all before it. Readers of arrays ignore what follows their array.
"""

import hashlib
import json
import os

from npid_tf.files.formats import check_format, stamp

BYTES_AT_ONCE = 1 << 22
LONGEST_SEAL = 512


def seal(path, kind):
    """Appends the seal to a file and syncs it. kind: see formats.py."""
    with open(path, "r+b") as file:
        digest = _digest(file, os.path.getsize(path))
        file.seek(0, os.SEEK_END)
        line = json.dumps({**stamp(kind), "sha256": digest})
        file.write(f"\n{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def find_damage(path, kind):
    """What is wrong with a sealed file, as text; None if it is undamaged.

    All of it is read. Raises UserError for a format of a newer version, OSError if
    it cannot be read.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(size - LONGEST_SEAL, 0))
        before, _, line = file.read().rstrip(b"\n").rpartition(b"\n{")
        try:
            record = json.loads(b"{" + line)
            expected = record["sha256"]
        except (ValueError, KeyError):
            return "is cut or damaged"
        check_format(record, kind, path)
        content_size = max(size - LONGEST_SEAL, 0) + len(before)
        if _digest(file, content_size) != expected:
            return "is damaged"
    return None


def _digest(file, size):
    """Of the first `size` bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (block := file.read(min(size, BYTES_AT_ONCE))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
