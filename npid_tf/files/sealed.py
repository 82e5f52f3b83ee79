"""Sealed files: a last line with a checksum of all before it.

The last line is a JSON object of the format, the version of the package and the
SHA-256 of all before it. Readers of arrays ignore what follows their array.
"""

import json
import os

from npid_tf.files.checksums import sha256_of
from npid_tf.files.formats import check_format, stamp

LONGEST_SEAL = 512


def seal(path, kind):
    """Appends the seal to a file and syncs it. kind: see formats.py."""
    digest = sha256_of(path)
    with open(path, "ab") as file:
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
    if sha256_of(path, content_size) != expected:
        return "is damaged"
    return None
