"""A folder of this machine, or a single file."""

import os
import stat

from npid_tf.data.sources.places.listing import (
    NOT_PLAIN,
    Item,
    stat_or_none,
    times_of,
)
from npid_tf.data.sources.places.rules import file_rule, folder_rule
from npid_tf.errors import UserError


def list_folder(directory, listing):
    """Adds the images below a folder, sorted by their paths; links are followed.

    Raises UserError for a folder that cannot be read.
    """
    found, folders, linked = [], [("", directory)], []
    before = os.path.join(directory, "")
    while folders or linked:
        # Those that lie here before those that are linked, which are left out where
        # they are the same.
        prefix, folder = folders.pop() if folders else linked.pop()
        if not listing.is_new_folder(folder):
            continue
        for entry in _entries(folder):
            is_folder = entry.is_dir()
            kind = (folder_rule if is_folder else file_rule)(entry.name)
            if kind:
                listing.leave_out(entry.path, kind)
            elif is_folder:
                below = linked if entry.is_symlink() else folders
                below.append((f"{prefix}{entry.name}/", entry.path))
            else:
                name, its_stat = prefix + entry.name, _stat(entry)
                if _is_plain(its_stat, entry.path, listing):
                    found.append((name, before + name, its_stat))
    for name, path, its_stat in sorted(found, key=lambda each: each[0]):
        size = its_stat.st_size if its_stat else 0
        listing.add(Item(name, path, size, times_of(its_stat)))


def list_file(path, listing, name=None):
    """Adds one file, whatever its name ends in. name: as it is told; None: its own."""
    found = stat_or_none(path)
    name = os.path.basename(path) if name is None else name
    if _is_plain(found, path, listing):
        size = found.st_size if found else 0
        listing.add(Item(name, path, size, times_of(found)))


def _entries(folder):
    try:
        with os.scandir(folder) as entries:
            # From the last to the first, since the last one found is looked into first.
            return sorted(entries, key=lambda entry: entry.name, reverse=True)
    except OSError as error:
        raise UserError(f"Cannot read {folder}: {error.strerror}.") from error


def _stat(entry):
    try:
        return entry.stat()
    except OSError:  # A link to nowhere: told of with the files that do not decode.
        return None


def _is_plain(found, path, listing):
    """Whether a file ends, as a pipe need not; if not, it is left out."""
    is_plain = found is None or stat.S_ISREG(found.st_mode)
    if not is_plain:
        listing.leave_out(path, NOT_PLAIN)
    return is_plain
