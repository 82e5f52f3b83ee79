"""Folders at a URL that fsspec opens: gs://BUCKET/DIR, s3://..., memory://..., ...

`simplecache::s3://BUCKET/DIR` keeps a copy of what was read on this machine.
"""

import functools
import hashlib

from npid_tf.data.sources.places.listing import Item
from npid_tf.data.sources.places.rules import path_rule
from npid_tf.errors import FileError, MissingPackageError


def list_url(url, listing):
    """Adds the images below a URL, sorted by name; ids are URL/NAME."""
    system, root = _opened(url)
    try:
        found = system.find(root, detail=True)
    except Exception as error:  # Each service has errors of its own.
        raise _unreadable(url, error) from error
    left_out = {}
    for path, info in sorted(found.items()):
        name = path[len(root) :].lstrip("/") or path.rpartition("/")[2]
        if rule := path_rule(name):
            left_out.setdefault(f"{url.rstrip('/')}/{rule[0]}", rule[1])
            continue
        listing.add(
            Item(
                name,
                url if path == root else f"{url.rstrip('/')}/{name}",
                info["size"] or 0,
                (info["size"] or 0, _stamp(info), 0),
                reader=functools.partial(system.cat_file, path),
            )
        )
    for each, kind in left_out.items():
        listing.leave_out(each, kind)


def _opened(url):
    try:
        import fsspec
    except ImportError as error:
        raise MissingPackageError(
            f"{url} needs fsspec: pip install 'npid_tf[remote]'."
        ) from error
    try:
        return fsspec.url_to_fs(url)
    except ImportError as error:
        raise MissingPackageError(f"{url} cannot be opened: {error}.") from error
    except Exception as error:
        raise _unreadable(url, error) from error


def _stamp(info):
    """A number that changes with what the service tells of a file: times, ETag, ..."""
    told = repr(sorted((key, repr(value)) for key, value in info.items()))
    return int.from_bytes(hashlib.blake2b(told.encode(), digest_size=7).digest())


def _unreadable(url, error):
    return FileError(f"{url} cannot be read: {type(error).__name__}: {error}.")
