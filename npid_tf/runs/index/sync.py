"""Brings an index to the state of a folder: `npid index sync FOLDER --export_dir=DIR`.

Files are told apart by their contents: a changed one is embedded again, a renamed one
keeps its embedding. Items below the folder whose file is gone are removed; all others,
of other folders or of no file, stay. Each part is kept as it is done: a sync that was
interrupted goes on when it is run again.
"""

import collections
import concurrent.futures
import os

from npid_tf.command_line.progress import progress
from npid_tf.errors import UserError
from npid_tf.pictures.exported import times_of
from npid_tf.runs.index.item_files import (
    digest_of_file,
    in_parts,
    keep_files,
    opened,
    put_files,
)
from npid_tf.saved_models.exported import load_encoder


def sync_folder(export_dir, folder, paths):
    """Makes the items below a folder those of its files.

    paths: of all images in it, as the ids of new items are written.

    Prints how many were added, replaced, renamed and removed. Raises ValueError that
    names the files that cannot be embedded; all else is done.
    """
    with opened(export_dir) as (index, pictures):
        listed = {os.path.abspath(path): path for path in paths}
        items = _items_below(index, pictures, os.path.abspath(folder))
        gone = [name for name, place in items.items() if place not in listed]
        present = {name: place for name, place in items.items() if place in listed}
        replaced = _changed(pictures, present)
        new = [listed[place] for place in sorted(listed.keys() - present.values())]
        renamed = _match(pictures, gone, new)
        for some in in_parts("Renaming", list(renamed)):
            _rename(index, pictures, {name: renamed[name] for name in some})
        added = {path: path for path in new if path not in renamed.values()}
        bad = _embed(export_dir, index, pictures, replaced | added)
        removed = [name for name in gone if name not in renamed]
        removed += [name for name in bad if name in replaced]
        for some in in_parts("Removing", removed):
            index.delete(some)
            pictures.store.delete(some)
        counts = {
            "added": len(added.keys() - bad.keys()),
            "replaced": len(replaced.keys() - bad.keys()),
            "renamed": len(renamed),
            "removed": len(removed),
            "unchanged": len(present) - len(replaced),
        }
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        print(f"{folder}: {told}; the index holds {len(index)}.")
    if bad:
        raise UserError(
            f"{len(bad)} files are not in the index:\n" + "\n".join(bad.values())
        )


def _items_below(index, pictures, root):
    """{id: absolute path} of the items that are files below a folder."""
    known = pictures.store.all()
    places = {name: each.file for name, each in known.items() if each.file}
    for name in pictures.exported.names - known.keys():
        if (path := pictures.exported.path(name)) is not None:
            places[name] = os.path.abspath(path)
    start = os.path.join(root, "")
    below = {name: place for name, place in places.items() if place.startswith(start)}
    there = index.known_labels(below)
    return {name: place for name, place in below.items() if name in there}


def _changed(pictures, present):
    """{id: path} of the items whose files hold something else than was embedded."""
    known = pictures.store.find(present)
    looked_at = {}
    for name, place in present.items():
        times = times_of(place)
        if times is None:
            continue  # It has just gone: the next sync sees it.
        if name in known:
            is_same = known[name].digest and known[name].times == times
        else:
            is_same = max(times[1:]) < pictures.exported.read_at * 1e9
        if not is_same:
            looked_at[name] = (place, times)
    digests = _digests([place for place, _ in looked_at.values()])
    changed, untouched = {}, {}
    for name, (place, times) in looked_at.items():
        before = _digest(pictures, known, name)
        if before is None or before != digests[place]:
            changed[name] = place
        else:
            untouched[name] = (place, times)
    for some in in_parts("Noting", list(untouched)):  # So that they are not read again.
        files = {name: untouched[name][0] for name in some}
        keep_files(pictures, files, {untouched[n][0]: untouched[n][1] for n in some})
    return changed


def _match(pictures, gone, new):
    """{id of an item that is gone: path of a new file} that hold the same."""
    known = pictures.store.find(gone)
    old = {name: digest for name in gone if (digest := _digest(pictures, known, name))}
    if not old:
        return {}
    names = collections.defaultdict(list)
    for name, digest in old.items():
        names[digest].append(name)
    sizes = {known[name].times[0] if name in known else None for name in old}
    if None not in sizes:  # Files of other sizes need not be read.
        new = [path for path in new if (times_of(path) or [None])[0] in sizes]
    digests = _digests(new)
    return {
        names[digest].pop(): path
        for path, digest in digests.items()
        if names.get(digest)
    }


def _digest(pictures, known, name):
    """That of what was embedded; None: not known."""
    return known[name].digest if name in known else pictures.exported.digest(name)


def _digests(paths):
    """{path: digest of the file's bytes, or None}"""
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        progress("Reading", len(paths), "files") as bar,
    ):
        digests = {}
        for path, digest in zip(paths, pool.map(digest_of_file, paths), strict=True):
            digests[path] = digest
            bar.update()
    return digests


def _rename(index, pictures, renamed):
    """Gives items, {id: path}, the paths as ids, and their files' pictures."""
    old, new = list(renamed), list(renamed.values())
    times = {path: times_of(path) for path in new}
    index.upsert(new, index.embeddings(old), index.labels(old))
    keep_files(pictures, dict(zip(new, new, strict=True)), times)
    index.delete(old)
    pictures.store.delete(old)


def _embed(export_dir, index, pictures, path_of):
    """Embeds files, {id: path}; returns {id: reason} of those that cannot be."""
    bad = {}
    if path_of:
        encoder = load_encoder(export_dir, index.encoder_hash)
        for some in in_parts("Embedding", list(path_of)):
            files = {name: path_of[name] for name in some}
            bad |= put_files(index, pictures, encoder, files)
    return bad
