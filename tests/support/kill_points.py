"""Ends this process with SIGKILL at its k-th operation on files.

What it has put on disk until then is written to a log, from which `lose_power` makes of
a folder what a power cut may leave: files that were not synced are emptied, cut off or
zeroed, and a name that was not synced is the one of before.
"""

import os
import signal
import sys

OPERATIONS = {"open", "write", "flush", "fsync", "rename", "mkdir", "unlink", "rmdir"}


def die_at(number, log_path):
    """Arms it: SIGKILL before the number-th operation from now on; 0 for never.

    Returns a function that tells how many there were.
    """
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    count, fsync, rename = 0, os.fsync, os.rename

    def note(text):
        os.write(log, f"{text}\n".encode())

    def noted_fsync(descriptor):
        fsync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        note(f"fsync\t{path}\t{os.stat(path).st_mtime_ns}")

    def noted_rename(source, target):
        rename(source, target)
        note(f"rename\t{os.path.abspath(source)}\t{os.path.abspath(target)}")

    def count_calls(frame, event, function):
        nonlocal count
        if event != "c_call" or frame.f_code in (note.__code__, noted_fsync.__code__):
            return
        owner = getattr(function, "__self__", None)
        of_files = type(owner).__module__ == "_io" or function.__module__ in (
            "posix",
            "_io",
        )
        if of_files and function.__name__ in OPERATIONS:
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    os.fsync, os.rename = noted_fsync, noted_rename
    sys.setprofile(count_calls)
    return lambda: count


def lose_power(folder, log_path, rng):
    """Makes of `folder` what may be left of it. Folders of before the log are whole."""
    synced, renamed = {}, []
    events = _events(log_path)
    for kind, first, second in events:
        if kind == "fsync":
            synced[first] = second
            renamed = [pair for pair in renamed if os.path.dirname(pair[1]) != first]
        else:
            for path in [p for p in synced if p.startswith(first + os.sep)]:
                synced[second + path[len(first) :]] = synced.pop(path)
            renamed.append((first, second))
    new = {second for kind, _, second in events if kind == "rename"}
    for directory, _, names in os.walk(folder):
        is_new = os.path.basename(directory) == ".partial" or directory in new
        for name in names if is_new else []:
            path = os.path.join(directory, name)
            if synced.get(path) != str(os.stat(path).st_mtime_ns):
                _lose(path, rng)
    for source, target in reversed(renamed):
        if os.path.exists(target) and rng.integers(2):
            os.rename(target, source)


def _events(log_path):
    with open(log_path, encoding="utf-8") as log:
        # A limit of bytes cuts the log off as well: what it lacks was not synced.
        return [line[:-1].split("\t") for line in log if line.endswith("\n")]


def _lose(path, rng):
    size = os.path.getsize(path)
    how = rng.integers(3)
    os.truncate(path, 0 if how < 2 else size // 2)
    if how == 1:
        os.truncate(path, size)  # Zeros.
