"""Atomic writes: files and folders exist completely or not at all.

Content is written beside its destination, synced, and then renamed. The folder that
contains the name is synced too, so that a power failure cannot undo what was reported
as done.
"""

import contextlib
import errno
import os
import shutil

NAMES = "surrogateescape"  # How Python holds names that are not UTF-8.


@contextlib.contextmanager
def open_whole(path, mode="w"):
    """A new file to write, which is renamed to `path` if nothing is raised.

    Creates missing folders. Text is UTF-8, and names of files in it the bytes that they
    are. Raises OSError as `open` does.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    partial = f"{path}.partial"
    of_text = {} if "b" in mode else {"encoding": "utf-8", "errors": NAMES}
    try:
        with open(partial, mode, **of_text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise
    sync_folder(os.path.dirname(path) or ".")


def write_whole(path, text):
    """Writes a text file by `open_whole`."""
    with open_whole(path) as file:
        file.write(text)


@contextlib.contextmanager
def whole_folder(path):
    """A new folder to fill, which is renamed to `path` if nothing is raised.

    Yields the folder to fill, beside `path`; leftovers of a killed process are removed.
    `path` must not exist at the end: put a version into its name. Raises OSError.
    """
    parent = os.path.dirname(os.path.abspath(path))
    partial = os.path.join(parent, f".{os.path.basename(path)}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    try:
        yield partial
        move_folder(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def move_folder(partial, path):
    """Syncs the folder `partial`, then renames it to `path`."""
    sync_tree(partial)
    os.rename(partial, path)
    sync_folder(os.path.dirname(os.path.abspath(path)))


def sync_tree(directory):
    """Puts all files below a folder, and their names, on disk."""
    for root, _, names in os.walk(directory):
        for name in names:
            _sync(os.path.join(root, name), os.O_RDONLY)
        sync_folder(root)


def sync_folder(path):
    """Syncs the names in a folder, if its file system can."""
    try:
        _sync(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError as error:
        # Of network file systems that know no such thing, not of a disk that fails.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise


def _sync(path, flags):
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
