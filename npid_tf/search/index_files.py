"""The files of an index beside its vectors: ids.json and manifest.json.

The manifest has the format, and size and checksum of every other file, so that what
is damaged or half of another export is never searched.
"""

import json
import os

from npid_tf.errors import FileError, UserError
from npid_tf.files.checksums import check_sums, read_json, sums_of
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import write_whole

MANIFEST, IDS = "manifest.json", "ids.json"
REMEDY = "Restore it from a backup, or export again with `python -m npid_tf.export`."
# What a reader counts on, whoever wrote it.
_NEEDED = {"n": int, "dim": int, "settings": dict, "recall": dict}
# By the kind of an index, the settings that a search needs.
_EFFORT = {
    "exact": (),
    "brute force": (),
    "quantized": ("reordered",),
    "tree": ("reordered", "leaves_to_search"),
}


def read_manifest(directory):
    """The manifest of the index in `directory`: a dict.

    Raises ValueError if there is no index, or it is damaged or of a newer format.
    """
    path = os.path.join(directory, MANIFEST)
    if not os.path.isfile(path) and os.path.exists(os.path.join(directory, IDS)):
        raise FileError(f"{path} is missing. {REMEDY}")
    if not os.path.isfile(path):
        raise UserError(
            f"No index in {directory}. Make one with `python -m npid_tf.export`."
        )
    return check_manifest(read_json(path, REMEDY), path)


def check_manifest(manifest, path):
    """The manifest that was read from `path`. Raises ValueError as `read_manifest`."""
    check_format(manifest, "index", path)
    for key, kind in _NEEDED.items():
        if not isinstance(manifest.get(key), kind):
            raise FileError(f"{path} is damaged: it has no `{key}`. {REMEDY}")
    settings, recall = manifest["settings"], manifest["recall"]
    kind = str(settings.get("kind"))
    if kind not in _EFFORT or not isinstance(recall.get("k"), int):
        raise FileError(
            f"{path} is damaged: its settings have no `kind` that is known, or its "
            f"recall no `k`. {REMEDY}"
        )
    for key in _EFFORT[kind]:
        if not isinstance(settings.get(key), int):
            raise FileError(f"{path} is damaged: no `{key}` in its settings. {REMEDY}")
    return manifest


def read_ids(directory, verify=False):
    """(ids, labels, manifest) of the index in `directory`, without its vectors.

    Checks the size of every file, and the checksum of ids.json.

    verify: compare the checksums of all files, which reads them once.

    Raises ValueError if there is none, or one of its files is damaged.
    """
    manifest = read_manifest(directory)
    if "files" in manifest:
        check_sums(directory, manifest["files"], REMEDY, None if verify else [IDS])
    elif "bytes" in manifest:
        _check_bytes(directory, manifest["bytes"])
    path = os.path.join(directory, IDS)
    packed = read_json(path, REMEDY)
    try:
        return *_unpack(packed, manifest["n"]), manifest
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FileError(
            f"{path} is damaged: it does not hold the {manifest['n']} ids, and the "
            f"labels if any, of its index ({type(error).__name__}: {error}). {REMEDY}"
        ) from error


def _check_bytes(directory, expected):
    """Manifests without a format have the bytes of all other files as one number."""
    size = sum(
        entry.stat().st_size
        for entry in os.scandir(directory)
        if entry.name != MANIFEST
    )
    if size < expected:
        raise FileError(
            f"{directory} is damaged: its files had {expected} bytes when they were "
            f"written. Received: {size}. {REMEDY}"
        )


def write_ids(directory, ids, labels, manifest):
    """Writes what `read_ids` reads, the manifest last.

    The manifest, there and here, gets the format, and the bytes and checksums of all
    other files in the folder.
    """
    packed = json.dumps(_pack(ids, labels), separators=(",", ":"))
    write_whole(os.path.join(directory, IDS), packed)
    manifest |= stamp("index")
    manifest["files"] = sums_of(directory)
    manifest["bytes"] = sum(file["bytes"] for file in manifest["files"].values())
    text = json.dumps(manifest, separators=(",", ":"))
    write_whole(os.path.join(directory, MANIFEST), text)


def _pack(ids, labels):
    """What ids.json holds: no ids if they are the row numbers, each class once.

    A label may be None, which has no number.
    """
    if labels is not None:
        classes = sorted({label for label in labels if label is not None})
        number_of = {label: number for number, label in enumerate(classes)}
        numbers = [number_of.get(label) for label in labels]
        labels = {"classes": classes, "numbers": numbers}
    return {"ids": None if ids == list(range(len(ids))) else ids, "labels": labels}


def _unpack(packed, n):
    ids, labels = packed["ids"], packed["labels"]
    if labels is not None:
        classes = labels["classes"]
        labels = [
            None if number is None else classes[_at_least_0(number)]
            for number in labels["numbers"]
        ]
    ids = list(range(n)) if ids is None else ids
    for what, values in (("ids", ids), ("labels", labels)):
        if values is not None and len(values) != n:
            raise ValueError(f"{len(values)} {what}")
    if not all(isinstance(name, (str, int)) for name in ids):
        raise ValueError("an id that is not text")
    return ids, labels


def _at_least_0(number):
    if number < 0:
        raise ValueError(f"class {number}")
    return number
