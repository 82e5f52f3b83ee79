"""Checksums of the files of an artifact, and errors that name the damaged file."""

import hashlib
import json
import os
import zlib

from npid_tf.errors import FileError

READ_AT_ONCE = 1 << 20


def read_json(path, remedy):
    """The content of a JSON file.

    remedy: what to do about damage, for the message.

    Raises FileError if it cannot be read or is not JSON.
    """
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. {remedy}") from error
    return parse_json(text, path, remedy)


def parse_json(text, path, remedy):
    """The content of the bytes of a JSON file. Raises FileError as `read_json`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is damaged: not JSON ({error}). {remedy}") from error


def sha256_of(path, size=None):
    """The SHA-256 of a file, or of its first `size` bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    left = os.path.getsize(path) if size is None else size
    with open(path, "rb") as file:
        while left > 0 and (block := file.read(min(left, READ_AT_ONCE))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def sums_of(directory):
    """{path in the directory: {"bytes": size, "crc32": text}} of all files below it."""
    sums = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            relative = os.path.relpath(path, directory).replace(os.sep, "/")
            sums[relative] = {"bytes": os.path.getsize(path), "crc32": _crc32(path)}
    return dict(sorted(sums.items()))


def check_sums(directory, sums, remedy, only=None):
    """Compares files with a result of `sums_of`: all sizes, then the checksums.

    only: names whose checksums are compared; None: all.

    Raises FileError that names the first file that is missing or differs.
    """
    well_formed = isinstance(sums, dict) and all(
        isinstance(told, dict) and {"bytes", "crc32"} <= told.keys()
        for told in sums.values()
    )
    if not well_formed:
        raise FileError(
            f"The manifest in {directory} is damaged: its `files` lack the "
            f"bytes or checksum of a file. {remedy}"
        )
    paths = {name: os.path.join(directory, name) for name in sums}
    for name, path in paths.items():
        try:
            size = os.path.getsize(path)
        except OSError as error:
            raise FileError(f"{path} is missing: {error.strerror}. {remedy}") from error
        if size != sums[name]["bytes"]:
            raise FileError(
                f"{path} is damaged: expected {sums[name]['bytes']} bytes. Received: "
                f"{size}. {remedy}"
            )
    for name in sums if only is None else only:
        if name in paths and _crc32(paths[name]) != sums[name]["crc32"]:
            raise FileError(
                f"{paths[name]} is damaged: its checksum differs from that of what was "
                f"written. {remedy}"
            )


def _crc32(path):
    checksum = 0
    with open(path, "rb") as file:
        while data := file.read(READ_AT_ONCE):
            checksum = zlib.crc32(data, checksum)
    return f"{checksum:08x}"
