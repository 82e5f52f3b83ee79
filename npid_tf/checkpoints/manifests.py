"""Which images the rows of a checkpoint are of: WORKDIR/manifests/DIGEST.json.

Each is named by the fingerprint that the checkpoint keeps of its images. It is written
before the first checkpoint of these images, never changed, and removed after the last:
whichever of them a process that was killed has left, its images are known. Runs of
before have one WORKDIR/manifest.json instead.
"""

import os

from npid_tf.checkpoints.files import list_checkpoints, list_damaged, read_state
from npid_tf.data.sources.manifest import fingerprint_of, read_manifest, write_manifest
from npid_tf.data.sources.source import digest_of
from npid_tf.errors import FileError


def manifest_path(checkpoints, fingerprint):
    """Where the manifest of the images of a fingerprint (a dict) is.

    checkpoints: the folder WORKDIR/checkpoints.
    """
    return os.path.join(_folder(checkpoints), _name(fingerprint))


def keep_manifest(checkpoints, fingerprint, manifest):
    """Writes it, where it is not there yet. Raises OSError."""
    path = manifest_path(checkpoints, fingerprint)
    if not os.path.exists(path):
        write_manifest(path, manifest)


def saved_manifest(checkpoints, fingerprint):
    """The manifest of a checkpoint's images; None where none was written.

    Raises FileError where it is damaged.
    """
    path = manifest_path(checkpoints, fingerprint)
    if not os.path.exists(path):
        return None
    manifest = read_manifest(path)
    if not is_of(manifest, fingerprint):
        raise FileError(
            f"{path} is not as it was written. It says which image is which row of "
            "the bank: restore it, or start in a new --workdir."
        )
    return manifest


def is_of(manifest, fingerprint):
    """Whether these are the images of a fingerprint."""
    known = fingerprint_of(manifest)
    return all(known[key] == fingerprint[key] for key in known.keys() & fingerprint)


def remove_unneeded(checkpoints):
    """Removes the manifests that are of no checkpoint any more."""
    needed = set()
    for path in [*list_checkpoints(checkpoints), *list_damaged(checkpoints)]:
        try:
            needed.add(_name(read_state(path)["fingerprint"]))
        except (FileError, OSError):
            return  # Nobody knows which it needs.
    folder = _folder(checkpoints)
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    for name in there - needed:
        os.remove(os.path.join(folder, name))
    of_before = os.path.join(os.path.dirname(folder), "manifest.json")
    if needed <= there and os.path.exists(of_before):
        os.remove(of_before)


def _folder(checkpoints):
    return os.path.join(os.path.dirname(os.path.abspath(checkpoints)), "manifests")


def _name(fingerprint):
    return f"{digest_of(sorted(fingerprint.items()))}.json"
