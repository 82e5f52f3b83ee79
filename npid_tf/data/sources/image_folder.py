"""A folder of images: flat and unlabelled, or one sub-folder per class."""

import hashlib
import json
import os
import warnings

import numpy as np
import tensorflow as tf

from npid_tf.data.kinds import EXTENSIONS, has_image_extension
from npid_tf.data.sources.contents import Contents, stat_or_none
from npid_tf.data.sources.manifest import (
    check_same_contents,
    check_same_files,
    first_of,
    make_manifest,
    read_manifest,
    write_manifest,
)
from npid_tf.data.sources.source import RandomAccess, digest_of
from npid_tf.data.sources.splits import choose
from npid_tf.errors import UserError


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
        manifest = read_manifest(manifest_path)
        check_same_files(directory, manifest, stats)
        known = {path: stats[path] for path in manifest["paths"]}
        digests = contents.digest_images(known)
        check_same_contents(directory, manifest, digests)
    else:
        digests = contents.digest_images(stats)
        manifest = make_manifest(directory, stats, digests, skip_corrupt)
    if manifest["corrupt"]:
        print(f"Left out {len(manifest['corrupt'])} files of {directory} that do not "
              f"decode: {first_of(manifest['corrupt'])}")  # fmt: skip

    def keep(manifest_path=None):
        contents.save()
        if manifest_path:
            write_manifest(manifest_path, manifest)

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
            if has_image_extension(name) and not name.startswith("."):
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


def _labels(directory, paths):
    """Labels and class names if every file is in a sub-folder, else (None, None)."""
    folders = [path.split(os.sep)[0] if os.sep in path else None for path in paths]
    class_names = sorted(set(folders) - {None})
    stray = [path for path in paths if os.sep not in path]
    if stray and class_names:
        warnings.warn(
            f"No image of {directory} has a class: {len(stray)} lie beside its "
            f"{len(class_names)} sub-folders ({first_of(stray)}). Move them into one, "
            "or away, if the sub-folders are classes.",
            stacklevel=3,
        )
    if stray:
        return None, None
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[name] for name in folders], np.int64), tuple(class_names)
