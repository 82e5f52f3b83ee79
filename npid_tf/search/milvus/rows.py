"""What the rows of a collection in Milvus hold: items, and beside them the manifest.

Of an item: `key`, `id`, `label`, `labelled` (whether it has a label) and `embedding`.
The manifest lies in a partition of its own, which no search looks into, since rows are
all that a restart, a backup and a copy of a collection keep: its JSON in the labels.
"""

import hashlib
import json

import numpy as np

from npid_tf.errors import UserError
from npid_tf.files.formats import check_format, stamp
from npid_tf.search import changes

KIND = "collection in Milvus"
ROWS_AT_ONCE = 1000
MAX_BYTES = 4 * changes.MAX_LENGTH  # Milvus counts those of UTF-8.
# Of a search or query, by the default limits of Milvus.
MAX_RESULTS = 16_384
ITEMS, MANIFEST = "_default", "manifest"
# Searches of collections from before 0.2 scored so many again for each of k.
REORDERED = 20


def make_schema(client, encoder_hash, dim):
    """The schema of a collection, of field types that Milvus 2.3 has already."""
    from pymilvus import DataType

    schema = client.create_schema(
        auto_id=False,
        enable_dynamic_field=False,
        description=f"Images of npid_tf, embedded by the encoder {encoder_hash}",
    )
    schema.add_field("key", DataType.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field("label", DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field("labelled", DataType.BOOL)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dim)
    return schema


def key_of(name):
    """The primary key of an id: no text of a caller ever is part of an expression."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def check_text(texts):
    """Raises UserError for ids or labels that Milvus cannot keep: long, no Unicode."""
    for text in filter(None, texts):
        try:
            fits = len(text.encode()) <= MAX_BYTES
        except UnicodeEncodeError:
            fits = False
        if not fits:
            raise UserError(
                f"Milvus keeps ids and labels of Unicode text, of at most {MAX_BYTES} "
                f"bytes. Received: {ascii(text)[:80]}."
            )


def write_rows(write, change, nullable=False):
    """Passes the rows of an Upsert to a client's `insert` or `upsert`.

    write: of which the name of the collection is given already.
    nullable: whether the collection is one from before 0.2, whose labels may be null.
    """
    for start in range(0, len(change.ids), ROWS_AT_ONCE):
        rows = range(start, min(start + ROWS_AT_ONCE, len(change.ids)))
        write(
            [
                {
                    "key": key_of(change.ids[row]),
                    "id": change.ids[row],
                    "embedding": change.vectors[row],
                    **_label_fields(change.labels[row], nullable),
                }
                for row in rows
            ]
        )


def _label_fields(label, nullable):
    if nullable:
        return {"label": label}
    return {"label": label or "", "labelled": label is not None}


def label_of(row):
    """The label in a row that was read: str or None."""
    return row["label"] if row.get("labelled", True) else None


def search_rows(search, queries, k, manifest):
    """For each query the (id, similarity) of what was found.

    search: a client's, of which the name of the collection is given already.
    """
    found, at_once = [], max(1, MAX_RESULTS // k)
    for start in range(0, len(queries), at_once):
        found += search(
            data=queries[start : start + at_once],
            limit=k,
            partition_names=[ITEMS],
            output_fields=["id"],
            search_params={"metric_type": "IP", "params": _effort(manifest, k)},
        )
    return [[(hit["entity"]["id"], hit["distance"]) for hit in hits] for hits in found]


def _effort(manifest, k):
    """How hard to search: beyond the k it is tuned for, more in proportion."""
    settings = manifest["settings"]
    if settings["kind"] == "FLAT":
        return {}
    if settings["kind"] == "IVF_FLAT":
        return {"nprobe": settings["nprobe"]}
    tuned = manifest["recall"]["k"]
    reordered = settings.get("reorder_k", REORDERED * tuned) * max(1, k / tuned)
    return {"nprobe": settings["nprobe"], "reorder_k": max(k, round(reordered))}


def write_manifest(client, name, manifest, **how):
    """Writes the manifest into its partition of a collection; `how`: see the client."""
    text = json.dumps({**stamp(KIND), **manifest})  # ASCII: a byte a character.
    parts = [text[at : at + MAX_BYTES] for at in range(0, len(text), MAX_BYTES)]
    nowhere = np.zeros(manifest["dim"], np.float32)
    client.create_partition(name, MANIFEST, **how)
    client.insert(
        name,
        [
            {
                "key": f"{MANIFEST} {number:04}",
                "id": f"{MANIFEST}, part {number + 1} of {len(parts)}",
                "label": part,
                "labelled": True,
                "embedding": nowhere,
            }
            for number, part in enumerate(parts)
        ],
        partition_name=MANIFEST,
        **how,
    )


def read_manifest(client, name, where, **how):
    """(the manifest, how many rows it takes) of a collection; `how`: see the client.

    where: what errors call it.

    Raises UserError if it has none that can be read.
    """
    if not client.has_partition(name, MANIFEST, **how):
        return _read_of_before(client.describe_collection(name, **how), where), 0
    rows = client.query(
        name,
        filter=f'key >= "{MANIFEST}"',
        partition_names=[MANIFEST],
        output_fields=["key", "label"],
        limit=1000,
        consistency_level="Strong",
        **how,
    )
    text = "".join(row["label"] for row in sorted(rows, key=lambda row: row["key"]))
    try:
        manifest = json.loads(text)
    except ValueError:
        manifest = None
    check_format(manifest, KIND, where)
    return manifest, len(rows)


def _read_of_before(description, where):
    """The manifest of a collection from before 0.2, which its properties held.

    A server of Milvus 2.3 loses those when it starts again.
    """
    try:
        return json.loads(description["properties"]["npid_tf"])
    except (KeyError, ValueError):
        raise UserError(
            f"{where} has lost its manifest, which npid_tf before 0.2 kept where a "
            "Milvus server forgets it. Export again with `python -m npid_tf.export "
            "--engine=milvus --uri=...`."
        ) from None
