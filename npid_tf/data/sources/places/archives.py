"""zip and tar files, read as they are: each image where it lies in the file."""

import functools
import lzma
import os
import tarfile
import zipfile
import zlib

from npid_tf.data.sources.places.listing import NOT_PLAIN, Item, times_of
from npid_tf.data.sources.places.rules import path_rule
from npid_tf.errors import FileError

# A compressed tar is read from its start alone: each image would cost all before it.
COMPRESSED_TARS = (
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst",
)  # fmt: skip


def list_zip(path, listing):
    """Adds the images in a zip file, sorted by name; ids are PATH/NAME."""
    times = _times(path)
    members = {}
    for member in _opened_zip(path, os.getpid(), *times).infolist():
        if member.flag_bits & 1:
            listing.leave_out(f"{path}/{member.filename}", "encrypted files")
        elif not member.is_dir():
            members[member.filename] = member
    for name, member in _images(path, members, listing):
        read = functools.partial(_read_zip, path, name, times)
        _add(path, name, member.file_size, times, read, listing)


def list_tar(path, listing):
    """Adds the images in a tar file that is not compressed, as `list_zip`."""
    times = _times(path)
    members, hard_links = {}, {}
    try:
        with tarfile.open(path, "r:") as file:
            for member in file:
                if member.issym():
                    listing.leave_out(f"{path}/{member.name}", NOT_PLAIN)
                elif member.islnk():
                    hard_links[member.name] = member.linkname
                elif member.isfile() and not member.issparse():
                    members[member.name] = (member.offset_data, member.size)
                elif not member.isdir():
                    listing.leave_out(f"{path}/{member.name}", NOT_PLAIN)
    except (OSError, tarfile.TarError) as error:
        raise _no_archive(path, error) from error
    for name, target in hard_links.items():
        if target in members:
            members[name] = members[target]
        else:
            listing.leave_out(f"{path}/{name}", NOT_PLAIN)
    for name, (offset, size) in _images(path, members, listing):
        read = functools.partial(_read_part, path, times, offset, size)
        _add(path, name, size, times, read, listing)


def refuse_compressed_tar(path, listing):
    raise FileError(
        f"{path} is a compressed tar, which can be read from its start alone. Expected "
        "a .tar or .zip: decompress it first (gunzip, bunzip2, unxz or unzstd)."
    )


def _times(path):
    try:
        return times_of(os.stat(path))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error


def _images(path, members, listing):
    """(name, member) of those that are images; folders left out are told of once."""
    left_out = {}
    for name in sorted(members):
        told = name.removeprefix("./")
        if rule := path_rule(told):
            left_out.setdefault(f"{path}/{rule[0]}", rule[1])
        else:
            yield name, members[name]
    for each, kind in left_out.items():
        listing.leave_out(each, kind)


def _add(path, name, size, times, read, listing):
    told = name.removeprefix("./")
    listing.add(Item(told, f"{path}/{told}", size, (size, *times[1:]), reader=read))
    listing.watched[path] = times


@functools.lru_cache(maxsize=64)
def _opened_zip(path, process, *times):
    # A process has its own: where a file stands is shared with a forked one.
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_archive(path, error) from error


# What zipfile and its three ways to decompress raise.
_OF_DAMAGED_MEMBERS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


def _read_zip(path, name, times):
    # Threads share it: it locks what it reads from the file, and decompresses outside.
    try:
        return _opened_zip(path, os.getpid(), *times).read(name)
    except _OF_DAMAGED_MEMBERS as error:
        raise FileError(f"{path}/{name} cannot be read: {error}.") from error


@functools.lru_cache(maxsize=64)
def _opened(path, *times):
    return open(path, "rb", buffering=0)  # Kept open: a read is one call.


def _read_part(path, times, offset, size):
    file = _opened(path, *times)  # Held: of threads that open it at once, one is kept.
    return os.pread(file.fileno(), size, offset)


def _no_archive(path, error):
    return FileError(f"{path} cannot be read as an archive: {error}.")
