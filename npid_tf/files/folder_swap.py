"""Replaces a folder by another, so that one of the two exists at any time.

Linux exchanges two names in one step, on ext4, XFS, Btrfs, tmpfs and overlayfs. If
there is no such step (NFS, macOS) the old folder is renamed to PATH.before, then the
new one to PATH: between the two, and after a crash there, `standing` finds the old one.
A folder at one fixed path, rather than a symbolic link to one of several, is what
copies whole with cp, rsync and S3 alike, and what other programs open.
"""

import ctypes
import errno
import os
import shutil

from npid_tf.files.whole_files import move_folder, sync_folder, sync_tree

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# Errors of a kernel or file system that cannot exchange names.
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EXDEV)


def standing(path):
    """The folder that belongs at `path`: there, or set aside for a moment."""
    for _ in range(3):  # It may be renamed between the two checks.
        for candidate in (path, before(path)):
            if os.path.isdir(candidate):
                return candidate
    return path


def before(path):
    """The name that a folder has while another takes its place."""
    return f"{os.path.normpath(path)}.before"


def put_folder(partial, path):
    """Syncs the folder `partial` and puts it at `path`, replacing what is there.

    Raises OSError; the old folder is then still there.
    """
    recover(path)
    if not os.path.exists(path):
        move_folder(partial, path)
        return
    sync_tree(partial)
    if _exchange(partial, path):
        sync_folder(os.path.dirname(os.path.abspath(path)))
        shutil.rmtree(partial, ignore_errors=True)
        return
    os.rename(path, before(path))
    try:
        os.rename(partial, path)
    except OSError:
        os.rename(before(path), path)
        raise
    sync_folder(os.path.dirname(os.path.abspath(path)))
    shutil.rmtree(before(path), ignore_errors=True)


def recover(path):
    """Finishes a `put_folder` that crashed: restores or removes the old folder."""
    if not os.path.isdir(before(path)):
        return
    if os.path.exists(path):
        shutil.rmtree(before(path))
    else:
        os.rename(before(path), path)


def _exchange(one, other):
    """Exchanges two names in one step; False if the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if not renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        return True
    error = ctypes.get_errno()
    if error in _UNKNOWN:
        return False
    raise OSError(error, os.strerror(error), other)
