"""The manifest of a live index, and what it keeps of its export's manifest."""

import hashlib
import os

from npid_tf.errors import FileError, UserError
from npid_tf.files.checksums import parse_json, read_json
from npid_tf.files.folder_swap import standing
from npid_tf.files.formats import check_format, stamp
from npid_tf.search import index_files
from npid_tf.search.index_files import MANIFEST, REMEDY, check_manifest

# Required keys.
_NEEDED = {"generation": int, "last_number": int, "export": str}


def read_manifest(directory):
    """The manifest in the folder of a live index, or None if there is none.

    Raises ValueError if it is damaged or of a newer format.
    """
    path = os.path.join(directory, MANIFEST)
    if not os.path.exists(path):
        return None
    remedy = (
        f"Restore it from a backup, or move {directory} away to start from the export."
    )
    manifest = read_json(path, remedy)
    check_format(manifest, "live index", path)
    for key, kind in _NEEDED.items():
        if type(manifest.get(key)) is not kind:
            raise FileError(f"{path} is damaged: it has no `{key}`. {remedy}")
    if "base" not in manifest:  # Written before formats.
        number = manifest["generation"]
        manifest["base"] = f"index-{number}" if number else None
    return {k: v for k, v in manifest.items() if k not in stamp("live index")}


def describe_export(index_dir):
    """What the manifest of a live index keeps of its export: a dict.

    Raises ValueError if there is no export, or it is damaged or of a newer format.
    """
    path = os.path.join(standing(index_dir), MANIFEST)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"No index in {index_dir}. Make one with `python -m npid_tf.export`."
        ) from None
    manifest = check_manifest(parse_json(text, path, REMEDY), path)
    if not isinstance(manifest.get("encoder_hash"), str):
        raise FileError(f"{path} is damaged: it has no `encoder_hash`. {REMEDY}")
    return {
        "export": hashlib.sha256(text).hexdigest(),
        "encoder_hash": manifest["encoder_hash"],
        "data": manifest.get("data"),
        "n": manifest["n"],
    }


def is_built_as_asked(compacted_dir, export_dir, num_exported):
    """Whether a compaction's segment has the settings of the current export.

    num_exported: items of the export that it was made from; None if not known.
    """
    compacted = index_files.read_manifest(compacted_dir)
    export = index_files.read_manifest(export_dir)
    kept, asked = compacted["settings"], export["settings"]
    same = all(kept.get(key) == asked.get(key) for key in ("kind", "dtype"))
    recall, asked = compacted["recall"], export["recall"]
    reached = recall.get("value", 0) >= asked.get("target", 1)
    return (
        same
        and reached
        and recall.get("k") == asked.get("k")
        and num_exported in (None, export["n"])
    )
