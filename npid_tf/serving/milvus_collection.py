"""Writing embeddings to Milvus, and searching there.

A collection for each encoder, which an alias names: an export writes a new collection
and then turns the alias, so that searches never see half of one.
"""

import contextlib
import hashlib
import json
import os
import uuid

import numpy as np

from npid_tf.errors import MissingPackageError, UserError
from npid_tf.serving import changes, tuning

ROWS_AT_ONCE = 1000
# Searches of Milvus's SCANN: lists probed, and candidates scored again for each of k.
PROBES = (8, 16, 32, 64, 128, 256, 512)
REORDERED = 20
# pymilvus drops a connection that does not answer a ping within 5 seconds, and sends
# again what was under way: a busy machine takes longer, and no creation works twice.
CONNECTION = {"grpc.keepalive_timeout_ms": 60_000}
MAX_BYTES = 4 * changes.MAX_LENGTH


def write_collection(uri, vectors, ids, labels, k, recall, queries=None, **description):
    """Writes the collection of an encoder, in the place of an earlier one.

    Milvus Lite searches it exactly; a server with its SCANN index, with as many probes
    as the recall takes.

    Args:
        vectors, ids, labels, k, recall, queries: as of `builder.build_index`.
        **description: encoder_hash, and what else the manifest tells.

    Returns:
        The manifest: the description, n, dim, settings and recall.

    Raises:
        ImportError: without pymilvus.
        ValueError: where there is no Milvus, or no setting has that recall.
    """
    client = connect(uri)
    alias = alias_of(description["encoder_hash"])
    name = f"{alias}_{uuid.uuid4().hex[:8]}"
    try:
        settings = _create(client, name, *vectors.shape)
        ids = list(map(str, ids))
        labels = [None] * len(ids) if labels is None else labels
        write_rows(client.insert, name, changes.Upsert(ids, vectors, labels))
        client.flush(name)
        client.load_collection(name)
        manifest = {**description, "n": len(vectors), "dim": vectors.shape[1]}
        manifest["settings"] = settings
        manifest["recall"] = {"k": k, "target": recall, "value": 1.0}
        manifest["queries"] = "none: it compares every item"
        if settings["kind"] == "SCANN":
            trials = tuning.Trials(vectors, k, queries)
            manifest |= _tune(_Rows(client, name, ids), trials, settings, k, recall)
        client.alter_collection_properties(name, {"npid_tf": json.dumps(manifest)})
        if client.has_collection(alias):
            old = client.describe_collection(alias)["collection_name"]
            client.alter_alias(name, alias)
            client.drop_collection(old)
        else:
            client.create_alias(name, alias)
    except BaseException:
        with contextlib.suppress(Exception):  # The first error is the one to tell of.
            client.drop_collection(name)
        raise
    finally:
        client.close()
    return manifest


def connect(uri):
    """A MilvusClient. Raises ImportError without pymilvus, ValueError where none is."""
    try:
        import pymilvus
    except ImportError as error:
        raise MissingPackageError(
            "--engine=milvus needs pymilvus: pip install 'npid_tf[milvus]'."
        ) from error
    if "://" not in uri and not uri.endswith(".db"):
        raise UserError(
            "--uri must be http://HOST:19530, or for Milvus Lite a file, which must "
            f"end in .db. Received: {uri}."
        )
    try:
        token = os.environ.get("MILVUS_TOKEN", "")
        # A Milvus Lite starts here, which takes seconds where the machine is busy.
        return pymilvus.MilvusClient(
            uri, token=token, timeout=60, grpc_options=CONNECTION
        )
    except pymilvus.MilvusException as error:
        raise UserError(f"No Milvus at {uri}: {error.message}") from error


def alias_of(encoder_hash):
    return f"npid_{encoder_hash[:16]}"


def key_of(name):
    """The primary key of an id: no text of a caller ever is part of an expression."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _create(client, name, n, dim):
    """Makes an empty collection; returns the kind of its index and its settings."""
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field("label", DataType.VARCHAR, max_length=MAX_BYTES, nullable=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dim)
    # Milvus Lite takes the name SCANN, but cannot build it.
    kind = "FLAT" if "lite" in client.get_server_version() else "SCANN"
    params = (
        {"nlist": max(1, min(65_536, round(4 * n**0.5)))} if kind == "SCANN" else {}
    )
    index = client.prepare_index_params()
    index.add_index("embedding", index_type=kind, metric_type="IP", params=params)
    client.create_collection(
        name, schema=schema, index_params=index, consistency_level="Strong"
    )
    return {"kind": kind, **params}


def write_rows(write, name, change):
    """Passes the rows of an Upsert to `client.insert` or `client.upsert`."""
    for start in range(0, len(change.ids), ROWS_AT_ONCE):
        rows = range(start, min(start + ROWS_AT_ONCE, len(change.ids)))
        write(
            name,
            [
                {
                    "key": key_of(change.ids[row]),
                    "id": change.ids[row],
                    "label": change.labels[row],
                    "embedding": change.vectors[row],
                }
                for row in rows
            ],
        )


def search_rows(client, name, queries, k, settings):
    """For each query the (id, similarity) of what was found."""
    effort = {key: settings[key] for key in ("nprobe",) if key in settings}
    if effort:
        effort["reorder_k"] = REORDERED * k
    found = []
    for start in range(0, len(queries), ROWS_AT_ONCE):
        found += client.search(
            name,
            queries[start : start + ROWS_AT_ONCE],
            limit=k,
            output_fields=["id"],
            search_params={"metric_type": "IP", "params": effort},
        )
    return [[(hit["entity"]["id"], hit["distance"]) for hit in hits] for hits in found]


class _Rows:
    """A collection that answers with rows, for `tuning.Trials`."""

    def __init__(self, client, name, ids):
        self._client, self._name, self.settings = client, name, None
        self._row_of = {name: row for row, name in enumerate(ids)}

    def search(self, queries, k):
        found = search_rows(self._client, self._name, queries, k, self.settings)
        rows = np.full([len(queries), k], -1)
        for line, hits in zip(rows, found, strict=True):
            line[: len(hits)] = [self._row_of[name] for name, _ in hits]
        return rows, None


def _tune(rows, trials, settings, k, recall):
    """The parts of the manifest that tell the settings with that recall."""
    curve = []
    for nprobe in sorted({min(probes, settings["nlist"]) for probes in PROBES}):
        rows.settings = {**settings, "nprobe": nprobe}
        curve.append({"settings": rows.settings, **trials.measure(rows)})
    chosen = tuning.choose(curve, recall, k)
    return {
        "settings": chosen["settings"],
        "recall": {"k": k, "target": recall, "value": chosen["recall"]},
        "queries": trials.description,
        "curve": curve,
    }
