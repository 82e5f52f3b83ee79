"""The manifest of a run: which file of a folder is which row of the bank.

A dict: paths, in the order of the rows; sizes and contents (a digest of the bytes) by
path; corrupt, the files that did not decode and were left out.
"""

import json

from npid_tf.data.sources.source import check_unchanged
from npid_tf.errors import FileError, UserError
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import open_whole


def read_manifest(path):
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        is_whole = manifest["sizes"].keys() == set(manifest["paths"])
        is_whole &= isinstance(manifest["corrupt"], list)
    except (ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        raise FileError(
            f"{path} is damaged. It says which image is which row of the bank: restore "
            "it, or remove it, and the images are numbered by their names again."
        )
    check_format(manifest, "features", path)
    return manifest


def make_manifest(directory, items, digests, skip_corrupt, reasons):
    # All were decoded: that costs less than a part of one epoch, and finds a broken
    # file before the training that it would stop.
    corrupt = [path for path in items if digests[path] is None]
    if corrupt and not skip_corrupt:
        raise UserError(
            f"{len(corrupt)} of {len(items)} files in {directory} do not decode: "
            f"{first_of(corrupt)}. The first: {reasons.get(corrupt[0], 'unknown')}. "
            "Repair or remove them, or pass --skip_corrupt to train without them."
        )
    paths = [path for path in items if digests[path] is not None]
    if not paths:
        raise UserError(f"No file in {directory} decodes as an image.")
    return {
        "paths": paths,
        "sizes": {path: items[path].size for path in paths},
        "contents": {path: digests[path] for path in paths},
        "corrupt": corrupt,
    }


def check_same_files(directory, manifest, items):
    corrupt = set(manifest["corrupt"])
    files = {path: item.size for path, item in items.items() if path not in corrupt}
    known = manifest["sizes"]
    added, removed = sorted(files.keys() - known), sorted(known.keys() - files)
    resized = sorted(
        path for path in known if files.get(path, known[path]) != known[path]
    )
    if added or removed or resized:
        was = {"files": f"{len(known)} in the manifest of the workdir"}
        now = ", ".join(
            f"{len(paths)} {what} ({first_of(paths)})"
            for what, paths in (
                ("added", added),
                ("removed", removed),
                ("of another size", resized),
            )
            if paths
        )
        check_unchanged(was, {"files": f"{now} in {directory}"})


def check_same_contents(directory, manifest, digests):
    broken = [path for path, digest in digests.items() if digest is None]
    if broken:
        raise UserError(
            f"{len(broken)} of {len(digests)} files in {directory} do not decode any "
            f"more: {first_of(broken)}. Restore them, or start in a new --workdir."
        )
    known = manifest.get("contents", {})  # Earlier manifests lack it.
    changed = [path for path in digests if known.get(path, digests[path])
               != digests[path]]  # fmt: skip
    if changed:
        was = {"contents": f"those of {len(known)} files in the manifest of the "
               "workdir"}  # fmt: skip
        now = f"others in {len(changed)} ({first_of(changed)}) of {directory}"
        check_unchanged(was, {"contents": now})


def first_of(paths):
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")


def write_manifest(path, manifest):
    with open_whole(path) as file:
        json.dump({**stamp("features"), **manifest}, file)
