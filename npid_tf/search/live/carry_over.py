"""Changes since an export, so that they can be applied to the next export.

A compaction merges exported items and changes into one segment. `changed.json` in its
folder records which ids were changed. If the same encoder is exported again, the new
export becomes the segment, with its dtype and recall, and the changes follow on top.
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
# How far an unchanged item's similarity to itself may be from 1, by stored dtype.
_ROUNDING = {"float32": 1e-5, "bfloat16": 1e-4, "int8": 2e-3}


def write_changed(directory, files, num_records):
    """Writes which ids differ from the export's, beside a compaction's new segment.

    Args:
        directory: of the new segment.
        files: LiveFiles of the compacted generation.
        num_records: how many records of its log the new segment contains.
    """
    changed = _changed(files, num_records)
    if changed is None:
        return  # Unknown for the old segment, so also for the new one.
    upserted, deleted = changed
    if deleted:  # Deletions of items that no export has need no record.
        deleted &= set(map(str, read_ids(standing(files.index_dir))[0]))
    text = json.dumps({"upserted": sorted(upserted), "deleted": sorted(deleted)})
    write_whole(os.path.join(directory, CHANGED), text)


def carried_changes(files, contents, export):
    """Changes that turn an export into what a compacted segment and its log contain.

    Args:
        files: LiveFiles whose segment is of an earlier export of the same encoder.
        contents: LiveContents of them.
        export: Segment of the current export.

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


def changes_since_segment(contents):
    """The changes, as a list, that turn its segment into the contents."""
    names, labels, slots = contents.items()
    there, size = set(names), len(contents.segment.ids)
    added = np.flatnonzero(slots >= size)
    made = [Delete([name for name in contents.segment.ids if name not in there])]
    for start in range(0, len(added), ITEMS_AT_ONCE):
        some = added[start : start + ITEMS_AT_ONCE]
        vectors = contents.vectors_at(slots[some])
        made.append(
            Upsert([names[n] for n in some], vectors, [labels[n] for n in some])
        )
    return [change for change in made if change.ids]


def _changed(files, num_records):
    """Sets of ids (upserted, deleted) since the export; None if not known."""
    upserted, deleted = set(), set()
    if files.manifest["base"] is not None:
        path = os.path.join(files.segment_dir, CHANGED)
        if not os.path.exists(path):
            return None  # Compacted by a version that did not record it.
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
    """(upserted ids, deleted ids) of an encoded change."""
    head = json.loads(payload.partition(b"\n")[0])
    return head.get("upsert", []), head.get("delete", [])


def _differences(contents, export):
    """The same sets, by comparing vectors and labels: equal ones count as unchanged."""
    names = contents.ids()
    there = set(names)
    rows = {name: row for row, name in enumerate(export.ids)}
    both = [name for name in names if name in rows]
    settings = contents.segment.manifest["settings"]
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
