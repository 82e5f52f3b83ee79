"""A list of files: lines of a text file, or of standard input."""

import functools
import os
import sys

from npid_tf.data.sources.places.folder import list_file
from npid_tf.errors import FileError, UserError


def list_lines(path, listing):
    """Adds the files that a text file names, in its order, whatever they end in.

    A line is a path, from the folder of the list where it is relative. Where there is a
    zero byte (find -print0), that ends a path instead of the end of a line.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    _add(data, os.path.dirname(path), path, listing)


def list_standard_input(_, listing):
    """Adds the files that standard input names; relative paths begin where we are."""
    _add(_standard_input(), "", "standard input", listing)


def _add(data, folder, where, listing):
    # Linux's own way from a file's name to text and back, whatever the bytes.
    ending = b"\0" if b"\0" in data else b"\n"
    lines = [line.removesuffix(b"\r") for line in data.split(ending)]
    names = [os.fsdecode(line) for line in lines if line]
    if not names:
        raise UserError(f"No files in {where}. Expected one path a line.")
    for name in map(os.path.expanduser, names):
        # Of a whole path no folder is the first below its place.
        told = os.path.basename(name) if os.path.isabs(name) else os.path.normpath(name)
        list_file(os.path.join(folder, name), listing, told)


@functools.cache
def _standard_input():
    # A program may ask for its images more than once.
    return sys.stdin.buffer.read()
