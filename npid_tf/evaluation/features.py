"""Vectors of a whole data set, computed once and kept on disk."""

import glob
import hashlib
import json
import os
import shutil
import zipfile
import zlib

import numpy as np

from npid_tf.encoders.embed import embed_batches
from npid_tf.errors import FileError
from npid_tf.files.formats import FORMATS, stamp
from npid_tf.files.sealed import find_damage, seal
from npid_tf.files.whole_files import open_whole, sync_folder, write_whole

# A part is written when it has one of these, so an interruption costs no more.
PART_BYTES = 64 << 20
PART_ROWS = 4096


def feature_directory(directory, key):
    """The folder below `directory` of the vectors that `key` determines; makes it.

    key: dict, such as the encoder's hash and the data's fingerprint, kept in key.json.
    Says so if there are vectors that would be these, were it not for a part of it.
    """
    key = {**key, "format": FORMATS["features"]}
    text = json.dumps(key, indent=1, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = os.path.join(directory, name)
    key_path = os.path.join(path, "key.json")
    if not os.path.exists(key_path):
        _tell_of_others(directory, key)
        record = {**key, **stamp("features")}
        write_whole(key_path, json.dumps(record, indent=1, sort_keys=True))
    return path


def _tell_of_others(directory, key):
    """Prints what differs from vectors that this encoder made, of data so called."""
    for path in sorted(glob.glob(os.path.join(directory, "*", "key.json"))):
        try:
            with open(path, encoding="utf-8") as file:
                other = json.load(file)
            of_same = other["encoder"] == key["encoder"]
            for entry in ("name", "num_instances"):
                of_same &= other["data"][entry] == key["data"][entry]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # Damaged, or no key: the vectors beside it are nobody's.
        other.pop("npid_tf", None)
        changes = [name for name in key if other.get(name) != key[name]]
        if of_same and changes:
            print(
                f"Not used: the vectors in {os.path.dirname(path)} are of other "
                f"{', '.join(changes)}. They are computed again."
            )


def cached_features(directory, names, make_model, make_dataset, num_instances):
    """What layers give for every image, from `directory` or computed into it.

    They are written in parts, so that a call continues where an interrupted one
    stopped. Only one part is in memory.

    Args:
        directory: see `feature_directory`.
        names: of the layers.
        make_model: names -> model from images to a tuple of [batch, dim]; called only
            if a layer is missing, with those that are.
        make_dataset: index -> batches of (images, indices) from this image to the last,
            in the order of the indices.
        num_instances: how many images there are.

    Returns:
        {name: float32 [num_instances, dim]}, arrays on disk (`np.memmap`).

    Raises:
        OSError: if they cannot be written.
    """
    missing = [name for name in names if not _is_whole(_path(directory, name))]
    if missing:
        parts = os.path.join(directory, f"parts-{','.join(missing)}")
        try:
            os.makedirs(parts, exist_ok=True)
            _write_parts(parts, missing, make_model, make_dataset, num_instances)
            for name in missing:
                _join(parts, name, _path(parts, f".{name}"), num_instances)
            # After the last one is whole: until then the parts are those of all.
            for name in missing:
                os.replace(_path(parts, f".{name}"), _path(directory, name))
            sync_folder(directory)
            shutil.rmtree(parts)
        except OSError as error:
            raise FileError(
                f"Could not write features to {directory}: {error}. Free some space "
                "and run the same command again: it continues from here."
            ) from error
    return {name: np.load(_path(directory, name), mmap_mode="r") for name in names}


def _is_whole(path):
    """Whether an undamaged array exists; warns if it is damaged."""
    if not os.path.exists(path):
        return False
    problem = find_damage(path, "features")
    if problem:
        print(f"Not used, so computed again: {path} {problem}.")
    return not problem


def _path(directory, name):
    return os.path.join(directory, f"{name}.npy")


def _write_parts(directory, names, make_model, make_dataset, num_instances):
    """Writes FIRST.npz for the rows from FIRST on, starting after those there are."""
    first = 0
    for path in _list_parts(directory):
        num_rows = _count_rows(path, names, first)
        if num_rows is None:
            print(f"Not used, so computed again: {path} is damaged.")
            os.remove(path)
        else:
            first += num_rows
    if first == num_instances:
        return
    rows, num_bytes = {name: [] for name in names}, 0
    read = first
    dataset = make_dataset(first)
    for indices, outputs in embed_batches(
        make_model(names), dataset, num_instances - first
    ):
        last = min(read + len(indices), num_instances)
        # In the order of the images, without those that fill up the last batch.
        indices, order = np.unique(indices, return_index=True)
        order = order[(indices >= read) & (indices < last)]
        for name, output in zip(names, outputs, strict=True):
            rows[name].append(output[order])
            num_bytes += rows[name][-1].nbytes
        read = last
        is_full = num_bytes >= PART_BYTES or read - first >= PART_ROWS
        if is_full or read == num_instances:
            path = os.path.join(directory, f"{first:012d}.npz")
            with open_whole(path, "wb") as file:
                np.savez(file, **{name: np.concatenate(rows[name]) for name in rows})
            rows, num_bytes, first = {name: [] for name in names}, 0, read


def _count_rows(path, names, first):
    """How many rows a part has; None if it is not whole, or not those from `first`
    on: one before it is missing."""
    try:
        with np.load(path) as part:
            counts = {len(part[name]) for name in names}  # Checks the sums of all.
        if os.path.basename(path) != f"{first:012d}.npz" or len(counts) != 1:
            return None
        return counts.pop()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _list_parts(directory):
    names = sorted(name for name in os.listdir(directory) if name.endswith(".npz"))
    return [os.path.join(directory, name) for name in names]


def _join(directory, name, path, num_instances):
    """Makes one array on disk, at `path`, of the parts' rows."""
    joined, first = None, 0
    for part_path in _list_parts(directory):
        with np.load(part_path) as part:
            rows = part[name]
        if joined is None:
            joined = np.lib.format.open_memmap(
                path, "w+", np.float32, (num_instances, rows.shape[1])
            )
        joined[first : first + len(rows)] = rows
        first += len(rows)
    joined.flush()
    seal(path, "features")
