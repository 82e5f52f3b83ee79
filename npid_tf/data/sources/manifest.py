"""The manifest of a run: which file of a folder is which row of the bank.

A dict: paths, in the order of the rows; sizes and contents (a digest of the bytes) by
path; corrupt, the files that did not decode and were left out.
"""

import collections
import dataclasses
import hashlib
import json

import numpy as np

from npid_tf.data.sources.source import digest_of
from npid_tf.errors import FileError, UserError
from npid_tf.files.formats import check_format, stamp
from npid_tf.files.whole_files import open_whole


def read_manifest(path):
    """The manifest in a file. Raises FileError where it is damaged."""
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
            "it, or start in a new --workdir."
        )
    check_format(manifest, "features", path)
    return manifest


def write_manifest(path, manifest):
    with open_whole(path) as file:
        json.dump({**stamp("features"), **manifest}, file)


def make_manifest(directory, items, digests, skip_corrupt, reasons):
    # All were decoded: that costs less than a part of one epoch, and finds a broken
    # file before the training that it would stop.
    corrupt = [path for path in items if digests[path] is None]
    if not skip_corrupt:
        refuse_corrupt(directory, corrupt, len(items), reasons)
    paths = [path for path in items if digests[path] is not None]
    if not paths:
        raise UserError(f"No file in {directory} decodes as an image.")
    return {
        "paths": paths,
        "sizes": {path: items[path].size for path in paths},
        "contents": {path: digests[path] for path in paths},
        "corrupt": corrupt,
    }


def refuse_corrupt(directory, corrupt, num_files, reasons=None):
    """Raises UserError where there are files that do not decode (a list of names), of
    so many; reasons: why not."""
    if corrupt:
        reason = (reasons or {}).get(corrupt[0], "unknown")
        raise UserError(
            f"{len(corrupt)} of {num_files} files in {directory} do not decode: "
            f"{first_of(corrupt)}. The first: {reason}. Repair or remove them, or pass "
            "--skip_corrupt to train without them."
        )


def part_of(manifest, numbers):
    """The manifest of some of the images, in the order of their numbers (int64)."""
    paths = [manifest["paths"][number] for number in numbers]
    known = {
        key: {path: manifest[key][path] for path in paths}
        for key in ("sizes", "contents")
        if key in manifest  # Earlier manifests lack contents.
    }
    return {"paths": paths, **known, "corrupt": manifest["corrupt"]}


def fingerprint_of(manifest):
    """What identifies the images of a manifest, and their order: a dict, without the
    name of their kind."""
    paths = manifest["paths"]
    listed = json.dumps([paths, [manifest["sizes"][path] for path in paths]])
    fingerprint = {
        "num_instances": len(paths),
        "sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }
    if "contents" in manifest:
        contents = [manifest["contents"][path] for path in paths]
        fingerprint["contents"] = digest_of(contents)
    return fingerprint


@dataclasses.dataclass(frozen=True)
class Matched:
    """Which images of before are which of now.

    number_now: int64 [images before], the number now of each; -1 where it is gone.
    order: int64 [images now], a permutation: those of before in their old order, then
        the new ones, in the order that they have now.
    renamed, changed: how many have another name; or a file of their name with other
        contents, which counts as one that is gone and one that is new.
    """

    number_now: np.ndarray
    order: np.ndarray
    renamed: int
    changed: int

    @property
    def kept(self):
        """bool [images before]"""
        return self.number_now >= 0

    @property
    def num_gone(self):
        return int((~self.kept).sum())

    @property
    def num_new(self):
        return len(self.order) - int(self.kept.sum())

    @property
    def is_same(self):
        """Whether all are there, under their names, and no others."""
        return not (self.num_gone or self.num_new or self.renamed)

    def told(self):
        """The counts, in words."""
        same = int(self.kept.sum()) - self.renamed
        return (
            f"{self.num_new - self.changed:,} new images, "
            f"{self.num_gone - self.changed:,} gone, {self.renamed:,} renamed, "
            f"{self.changed:,} changed; {same:,} as they were"
        )


def match(before, now):
    """`Matched` of two manifests: by name and contents, then by contents alone.

    Of several files of the same contents each is matched once. Where a manifest of
    before lacks contents, name and size have to do.
    """
    numbers = {path: number for number, path in enumerate(now["paths"])}
    number_now = np.full(len(before["paths"]), -1, np.int64)
    is_free = np.ones(len(now["paths"]), bool)
    for row, path in enumerate(before["paths"]):
        number = numbers.get(path)
        if number is not None and _is_same(before, now, path):
            number_now[row] = number
            is_free[number] = False
    by_contents = collections.defaultdict(collections.deque)
    for number in np.flatnonzero(is_free):
        by_contents[now["contents"][now["paths"][number]]].append(number)
    renamed = changed = 0
    for row in np.flatnonzero(number_now < 0):
        path = before["paths"][row]
        candidates = by_contents[before.get("contents", {}).get(path)]
        if candidates:
            number_now[row] = candidates.popleft()
            is_free[number_now[row]] = False
            renamed += 1
    for path in (before["paths"][row] for row in np.flatnonzero(number_now < 0)):
        changed += path in numbers and bool(is_free[numbers[path]])
    kept = number_now[number_now >= 0]
    order = np.concatenate([kept, np.flatnonzero(is_free)])
    return Matched(number_now, order, renamed, changed)


def _is_same(before, now, path):
    if "contents" in before:
        return before["contents"][path] == now["contents"][path]
    return before["sizes"][path] == now["sizes"][path]


def first_of(paths):
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
