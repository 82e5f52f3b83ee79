"""Files that are there whole or not at all."""

import contextlib
import os


@contextlib.contextmanager
def open_whole(path, mode="w"):
    """A new file to write, beside `path`, which takes its place if all goes well.

    Makes the folders that lack. Text is UTF-8. The file is on disk, not only on its
    way there, before the old one goes. Raises OSError as `open` does.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    partial = f"{path}.partial"
    with open(partial, mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_whole(path, text):
    """Writes a text file by `open_whole`."""
    with open_whole(path) as file:
        file.write(text)
