"""One writer to a folder at a time.

The lock is the operating system's (flock) on a file in the folder, so it is released
whenever the process ends: a file that a dead process left blocks nobody. On NFS the
server keeps it for all machines (Linux, NFS 4, or NFS 3 with lockd), and releases it
some 90 seconds after a machine is lost. On a file system without locks nothing is
locked, and a warning says so.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import warnings

from npid_tf.errors import UserError

NAME = "lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def only_writer(directory):
    """Holds the lock of a folder, which is created if it is missing.

    Raises UserError that names the process holding it.
    """
    with _held(directory, fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


@contextlib.contextmanager
def in_turn(directory):
    """The same, but waits for the process that holds it, and says so."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_writer(directory))
        except _Busy as busy:
            print(f"Waiting: {busy}", flush=True)
            stack.enter_context(_held(directory, fcntl.LOCK_EX))
        yield


class _Busy(UserError):
    pass


@contextlib.contextmanager
def _held(directory, how):
    is_new = not os.path.exists(directory)
    path = os.path.join(directory, NAME)
    file = _locked_file(path, how)
    try:
        yield
    finally:
        if file is not None:
            # While still locked: a waiting process checks that the file exists.
            with contextlib.suppress(OSError):
                os.remove(path)
            file.close()
        if is_new:  # A refused run leaves nothing behind.
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def _locked_file(path, how):
    while True:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            with file:
                raise _Busy(_in_use(os.path.dirname(path), file)) from None
        except OSError as error:
            file.close()
            if error.errno not in _NO_LOCKS:
                raise
            with contextlib.suppress(OSError):
                os.remove(path)
            warnings.warn(
                f"{path} cannot be locked ({error.strerror}): make sure that no other "
                "process writes to this folder.",
                stacklevel=2,
            )
            return None
        if _is_at(path, file):
            break
        file.close()  # Removed by the process that held it before.
    file.truncate(0)
    holder = {"pid": os.getpid(), "host": socket.gethostname()}
    json.dump({**holder, "program": " ".join(sys.argv)[:500]}, file)
    file.flush()
    return file


def _is_at(path, file):
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _in_use(directory, file):
    file.seek(0)
    try:
        holder = json.loads(file.read())
        who = f"process {holder['pid']} on {holder['host']} ({holder['program']})"
    except (ValueError, TypeError, LookupError):  # Not written yet.
        who = "another process"
    return (
        f"{directory} is in use by {who}. Wait until it ends, end it, or use another "
        "folder."
    )
