"""A folder of images: flat and unlabelled, or one sub-folder per class."""

import concurrent.futures
import hashlib
import json
import os

import numpy as np
import tensorflow as tf

from npid_tf.data.arrays import split_indices
from npid_tf.data.decode import decode
from npid_tf.data.source import RandomAccess, check_unchanged
from npid_tf.errors import UserError
from npid_tf.whole_files import open_whole

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def load_folder(directory, split="train", manifest_path=None, skip_corrupt=False):
    """A source of the images below `directory`, in the order of their sorted paths.

    Args:
        directory: holds images (unlabelled) or one sub-folder per class.
        split: `train`, or a part of it as in `train[:80%]`.
        manifest_path: where path -> index is saved at the first call and read
            afterwards, so that indices never move.
        skip_corrupt: leave out files that do not decode, instead of raising.

    Raises:
        ValueError: for a folder that is missing or empty, a file that does not decode
            (named), or files that came, went or changed since the manifest was written.
    """
    files = _list_images(directory)
    if manifest_path and os.path.exists(manifest_path):
        with open(manifest_path, encoding="utf-8") as file:
            manifest = json.load(file)
        _check_same_files(directory, manifest, files)
    else:
        manifest = _make_manifest(directory, files, skip_corrupt)
        if manifest_path:
            _write_json(manifest_path, manifest)
    if manifest["corrupt"]:
        print(f"Left out {len(manifest['corrupt'])} files of {directory} that do not "
              f"decode: {_first(manifest['corrupt'])}")  # fmt: skip

    chosen = split_indices({"train": len(manifest["paths"])}, split)["train"]
    paths = manifest["paths"][chosen]
    # Of all files: a class has the same number in every part.
    labels, class_names = _labels(manifest["paths"])
    full_paths = tf.constant([os.path.join(directory, path) for path in paths])
    sizes = [manifest["sizes"][path] for path in paths]
    return RandomAccess(
        read=lambda index: tf.io.read_file(tf.gather(full_paths, index)),
        num_instances=len(paths),
        fingerprint={
            "name": "folder",
            "num_instances": len(paths),
            "sha256": hashlib.sha256(json.dumps([paths, sizes]).encode()).hexdigest(),
        },
        labels=None if labels is None else labels[chosen],
        class_names=class_names,
        paths=[os.path.join(directory, path) for path in paths],
    )


def _list_images(directory):
    """{path relative to directory: bytes}, sorted by path."""
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
                # A link to nowhere is told of with the files that do not decode.
                size = os.path.getsize(path) if os.path.exists(path) else 0
                files[os.path.relpath(path, directory)] = size
    if not files:
        raise UserError(
            f"No images in {directory}. Expected files ending in "
            f"{', '.join(EXTENSIONS)}, there or in sub-folders."
        )
    return dict(sorted(files.items()))


def _raise(error):
    raise UserError(f"Cannot read {error.filename}: {error.strerror}.") from error


def _make_manifest(directory, files, skip_corrupt):
    # Decoding everything once costs less than a part of one epoch, and finds a broken
    # file before the training that it would stop.
    def decodes(path):
        try:
            decode(tf.io.read_file(os.path.join(directory, path)))
        except tf.errors.OpError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor() as pool:
        good = list(pool.map(decodes, files))
    corrupt = [path for path, is_good in zip(files, good, strict=True) if not is_good]
    if corrupt and not skip_corrupt:
        raise UserError(
            f"{len(corrupt)} of {len(files)} files in {directory} do not decode as "
            f"JPEG, PNG, BMP or GIF: {_first(corrupt)}. Repair or remove them, or pass "
            "--skip_corrupt to train without them."
        )
    paths = [path for path, is_good in zip(files, good, strict=True) if is_good]
    if not paths:
        raise UserError(f"No file in {directory} decodes as an image.")
    return {
        "paths": paths,
        "sizes": {path: files[path] for path in paths},
        "corrupt": corrupt,
    }


def _check_same_files(directory, manifest, files):
    corrupt = set(manifest["corrupt"])
    files = {path: size for path, size in files.items() if path not in corrupt}
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


def _labels(paths):
    """Labels and class names where every file is in a sub-folder, else (None, None)."""
    folders = [path.split(os.sep)[0] if os.sep in path else None for path in paths]
    if None in folders:
        return None, None
    class_names = sorted(set(folders))
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[name] for name in folders], np.int64), tuple(class_names)


def _first(paths):
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")


def _write_json(path, value):
    with open_whole(path) as file:
        json.dump(value, file)
