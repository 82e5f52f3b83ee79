"""What was changed since an export, so that it carries over to the next one.

A compaction puts exported items and changes into one index. `changed.json` in its
folder keeps apart which are which: when the same encoder is exported again, the new
export's index is searched, with its dtype and its recall, and the changes on top.
"""

import json
import os

import numpy as np

from npid_tf.errors import FileError
from npid_tf.files.checksums import read_json
from npid_tf.files.folder_swap import standing
from npid_tf.files.whole_files import write_whole
from npid_tf.search.changes import Delete, Upsert
from npid_tf.search.index_files import REMEDY, read_ids
from npid_tf.search.live.write_ahead_log import read

CHANGED = "changed.json"
ITEMS_AT_ONCE = 10_000
# How far an unchanged item's similarity to itself is from 1, by how it is kept.
_ROUNDING = {"float32": 1e-5, "bfloat16": 1e-4, "int8": 2e-3}


def write_changed(directory, files, num_records):
    """Writes which items differ from the export's, for a compaction's new index.

    Args:
        directory: of the new index.
        files: LiveFiles that it is made of, with so many records of its log.
    """
    changed = _changed(files, num_records)
    if changed is None:
        return  # Nor is it known of the index that is replaced.
    upserted, deleted = changed
    if deleted:  # Of what no export holds nothing is left to delete.
        deleted &= set(map(str, read_ids(standing(files.index_dir))[0]))
    text = json.dumps({"upserted": sorted(upserted), "deleted": sorted(deleted)})
    write_whole(os.path.join(directory, CHANGED), text)


def carried_changes(files, contents, export):
    """Changes that make an export's index hold what a compacted one and its log do.

    Args:
        files: LiveFiles whose base is of an earlier export of the same encoder.
        contents: LiveContents of them.
        export: BaseIndex of the export now.

    Returns:
        list of Delete and Upsert.
    """
    changed = _changed(files, None) or _differences(contents, export)
    upserted, deleted = changed
    upserted = [name for name in contents.ids() if name in upserted]
    exported = set(export.ids)
    carried = [Delete(sorted(name for name in deleted if name in exported))]
    for start in range(0, len(upserted), ITEMS_AT_ONCE):
        some = upserted[start : start + ITEMS_AT_ONCE]
        carried.append(Upsert(some, contents.embeddings(some), contents.labels(some)))
    return [change for change in carried if change.ids]


def changes_since_base(contents):
    """The changes, a list, that make its base hold what the contents do."""
    names, labels, places = contents.items()
    there, size = set(names), len(contents.base.ids)
    added = np.flatnonzero(places >= size)
    made = [Delete([name for name in contents.base.ids if name not in there])]
    for start in range(0, len(added), ITEMS_AT_ONCE):
        some = added[start : start + ITEMS_AT_ONCE]
        vectors = contents.vectors_at(places[some])
        made.append(
            Upsert([names[n] for n in some], vectors, [labels[n] for n in some])
        )
    return [change for change in made if change.ids]


def _changed(files, num_records):
    """Sets of the ids (upserted, deleted) since the export, or None: not known."""
    upserted, deleted = set(), set()
    if files.manifest["base"] is not None:
        path = os.path.join(files.base_dir, CHANGED)
        if not os.path.exists(path):
            return None  # Compacted before this was kept.
        known = read_json(path, REMEDY)
        try:
            upserted.update(known["upserted"])
            deleted.update(known["deleted"])
        except (KeyError, TypeError) as error:
            raise FileError(f"{path} is damaged: no {error}. {REMEDY}") from error
    records = read(files.log, files.manifest["last_number"])
    for number, (payload, _) in enumerate(records):
        if number == num_records:
            break
        _add(_ids_of(payload), upserted, deleted)
    return upserted, deleted


def _add(change, upserted, deleted):
    added, gone = change
    upserted.update(added)
    deleted.difference_update(added)
    upserted.difference_update(gone)
    deleted.update(gone)


def _ids_of(payload):
    """(ids that an encoded change upserts, ids that it deletes)."""
    head = json.loads(payload.partition(b"\n")[0])
    return head.get("upsert", []), head.get("delete", [])


def _differences(contents, export):
    """The same sets by comparison, which takes what is alike for unchanged."""
    names = contents.ids()
    there = set(names)
    rows = {name: row for row, name in enumerate(export.ids)}
    both = [name for name in names if name in rows]
    settings = contents.base.manifest["settings"]
    tolerance = _ROUNDING.get(settings.get("dtype"), _ROUNDING["int8"])
    upserted = there.difference(both)
    for start in range(0, len(both), ITEMS_AT_ONCE):
        some = both[start : start + ITEMS_AT_ONCE]
        exported = export.vectors[np.array([rows[name] for name in some], np.int64)]
        alike = np.einsum("nd,nd->n", contents.embeddings(some), exported)
        same_label = np.array(
            [
                export.labels[rows[name]] == label
                for name, label in zip(some, contents.labels(some), strict=True)
            ]
        )
        changed = (alike < 1 - tolerance) | ~same_label
        upserted.update(
            name for name, is_so in zip(some, changed, strict=True) if is_so
        )
    return upserted, set(rows) - there
