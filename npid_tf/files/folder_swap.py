"""A folder put in the place of another, so that one of the two is always there.

Linux exchanges two names in one step, on ext4, XFS, Btrfs, tmpfs and overlayfs. Where
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
# What the kernel says where the file system, or itself, does not know how.
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EXDEV)


def standing(path):
    """Where the folder is that belongs at `path`: there, or set aside for a moment."""
    for _ in range(3):  # It may come to `path` between the two looks.
        for candidate in (path, before(path)):
            if os.path.isdir(candidate):
                return candidate
    return path


def before(path):
    """Where a folder is kept while another takes its place."""
    return f"{os.path.normpath(path)}.before"


def put_folder(partial, path):
    """Puts the folder `partial` on disk and then at `path`; what was there goes.

    Raises OSError; then what was there is there.
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
    """Ends what a crash in `put_folder` left: the old folder back, or gone."""
    if not os.path.isdir(before(path)):
        return
    if os.path.exists(path):
        shutil.rmtree(before(path))
    else:
        os.rename(before(path), path)


def _exchange(one, other):
    """Exchanges two names in one step; False where that is not to be had here."""
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
