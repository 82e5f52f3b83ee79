"""A folder of images: flat and unlabelled, or one sub-folder per class."""

import hashlib
import json
import os
import warnings

import numpy as np
import tensorflow as tf

from npid_tf.data.sources.contents import Contents, stat_or_none
from npid_tf.data.sources.source import RandomAccess, check_unchanged, digest_of
from npid_tf.data.sources.splits import choose
from npid_tf.errors import FileError, UserError
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import open_whole

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def load_folder(
    directory,
    split="train",
    manifest_path=None,
    skip_corrupt=False,
    tables=None,
    stratified=True,
):
    """A source of the images below `directory`, in the order of their sorted paths.

    Its `keep(manifest_path)` writes what spares later programs reading all files, and
    the manifest of a run that begins.

    Args:
        directory: holds images (unlabelled) or one sub-folder per class.
        split: `train`, or a part of it as in `train[:80%]`: of every class its share.
        manifest_path: where path -> index is saved at the first call and read
            afterwards, so that indices never move.
        skip_corrupt: leave out files that do not decode, instead of raising.
        tables: folder of what is known of files' contents (see contents.py), or None.
        stratified: False: parts are one after the other in the order of the paths.

    Raises:
        ValueError: for a folder that is missing or empty, a file that does not decode
            (named), or files that came, went or changed since the manifest was written.
    """
    stats = _list_images(directory)
    contents = Contents(directory, tables)
    has_manifest = manifest_path and os.path.exists(manifest_path)
    if has_manifest:
        manifest = _read_manifest(manifest_path)
        _check_same_files(directory, manifest, stats)
        known = {path: stats[path] for path in manifest["paths"]}
        digests = contents.digest_images(known)
        _check_same_contents(directory, manifest, digests)
    else:
        digests = contents.digest_images(stats)
        manifest = _make_manifest(directory, stats, digests, skip_corrupt)
    if manifest["corrupt"]:
        print(f"Left out {len(manifest['corrupt'])} files of {directory} that do not "
              f"decode: {_first(manifest['corrupt'])}")  # fmt: skip

    def keep(manifest_path=None):
        contents.save()
        if manifest_path:
            _write_json(manifest_path, {**stamp("features"), **manifest})

    # Of all files: a class has the same number in every part.
    labels, class_names = _labels(directory, manifest["paths"])
    chosen = choose(len(manifest["paths"]), split, labels if stratified else None)
    paths = [manifest["paths"][index] for index in chosen]
    keep(None if has_manifest else manifest_path)
    full_paths = [os.path.join(directory, path) for path in paths]
    files = tf.constant(full_paths)
    sizes = [manifest["sizes"][path] for path in paths]
    return RandomAccess(
        read=lambda index: tf.io.read_file(tf.gather(files, index)),
        num_instances=len(paths),
        fingerprint={
            "name": "folder",
            "num_instances": len(paths),
            "sha256": hashlib.sha256(json.dumps([paths, sizes]).encode()).hexdigest(),
            "contents": digest_of([digests[path] for path in paths]),
        },
        labels=None if labels is None else labels[chosen],
        class_names=class_names,
        paths=full_paths,
        keep=keep,
    )


def _list_images(directory):
    """{path relative to directory: os.stat_result}, sorted by path; None for a link to
    nowhere, which is told of with the files that do not decode."""
    if not os.path.isdir(directory):
        raise UserError(f"No folder {directory}. --dataset=folder:DIR needs one.")
    files, folders = {}, {}
    for root, _, names in os.walk(directory, onerror=_raise, followlinks=True):
        first = folders.setdefault(os.path.realpath(root), root)
        if first != root:
            raise UserError(
                f"{root} and {first} are the same folder, by a symbolic link, and "
                "would number its images twice. Remove one of them."
            )
        for name in names:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                path = os.path.join(root, name)
                files[os.path.relpath(path, directory)] = stat_or_none(path)
    if not files:
        raise UserError(
            f"No images in {directory}. Expected files ending in "
            f"{', '.join(EXTENSIONS)}, there or in sub-folders."
        )
    return dict(sorted(files.items()))


def _raise(error):
    raise UserError(f"Cannot read {error.filename}: {error.strerror}.") from error


def _read_manifest(path):
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


def _make_manifest(directory, stats, digests, skip_corrupt):
    # All were decoded: that costs less than a part of one epoch, and finds a broken
    # file before the training that it would stop.
    corrupt = [path for path in stats if digests[path] is None]
    if corrupt and not skip_corrupt:
        raise UserError(
            f"{len(corrupt)} of {len(stats)} files in {directory} do not decode as "
            f"JPEG, PNG, BMP or GIF: {_first(corrupt)}. Repair or remove them, or pass "
            "--skip_corrupt to train without them."
        )
    paths = [path for path in stats if digests[path] is not None]
    if not paths:
        raise UserError(f"No file in {directory} decodes as an image.")
    return {
        "paths": paths,
        "sizes": {path: stats[path].st_size for path in paths},
        "contents": {path: digests[path] for path in paths},
        "corrupt": corrupt,
    }


def _check_same_files(directory, manifest, stats):
    corrupt = set(manifest["corrupt"])
    files = {
        path: stat.st_size if stat else 0
        for path, stat in stats.items()
        if path not in corrupt
    }
    known = manifest["sizes"]
    added, removed = sorted(files.keys() - known), sorted(known.keys() - files)
    resized = sorted(
        path for path in known if files.get(path, known[path]) != known[path]
    )
    if added or removed or resized:
        was = {"files": f"{len(known)} in the manifest of the workdir"}
        now = ", ".join(
            f"{len(paths)} {what} ({_first(paths)})"
            for what, paths in (
                ("added", added),
                ("removed", removed),
                ("of another size", resized),
            )
            if paths
        )
        check_unchanged(was, {"files": f"{now} in {directory}"})


def _check_same_contents(directory, manifest, digests):
    broken = [path for path, digest in digests.items() if digest is None]
    if broken:
        raise UserError(
            f"{len(broken)} of {len(digests)} files in {directory} do not decode any "
            f"more: {_first(broken)}. Restore them, or start in a new --workdir."
        )
    known = manifest.get("contents", {})  # Earlier manifests lack it.
    changed = [path for path in digests if known.get(path, digests[path])
               != digests[path]]  # fmt: skip
    if changed:
        was = {"contents": f"those of {len(known)} files in the manifest of the "
               "workdir"}  # fmt: skip
        now = f"others in {len(changed)} ({_first(changed)}) of {directory}"
        check_unchanged(was, {"contents": now})


def _labels(directory, paths):
    """Labels and class names if every file is in a sub-folder, else (None, None)."""
    folders = [path.split(os.sep)[0] if os.sep in path else None for path in paths]
    class_names = sorted(set(folders) - {None})
    stray = [path for path in paths if os.sep not in path]
    if stray and class_names:
        warnings.warn(
            f"No image of {directory} has a class: {len(stray)} lie beside its "
            f"{len(class_names)} sub-folders ({_first(stray)}). Move them into one, or "
            "away, if the sub-folders are classes.",
            stacklevel=3,
        )
    if stray:
        return None, None
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[name] for name in folders], np.int64), tuple(class_names)


def _first(paths):
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")


def _write_json(path, value):
    with open_whole(path) as file:
        json.dump(value, file)
