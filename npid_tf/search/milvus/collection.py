"""Writing embeddings to Milvus.

A collection for each encoder, which an alias names: an export writes a new collection
and then turns the alias, so that searches never see half of one.
"""

import contextlib
import functools
import warnings

import numpy as np

from npid_tf.errors import UnavailableError, UserError
from npid_tf.search import changes, tuning
from npid_tf.search.milvus.connection import answers, connect, is_lite
from npid_tf.search.milvus.names import (
    alias_of,
    done_with,
    drop_left_over,
    name_of,
    new_name,
    turn_alias,
)
from npid_tf.search.milvus.rows import (
    check_text,
    make_schema,
    search_rows,
    write_manifest,
    write_rows,
)

# Searches of Milvus's SCANN: lists probed, and candidates scored again for each of k.
PROBES = (8, 16, 32, 64, 128, 256, 512)
REORDERED = (16, 32, 64, 128)
SECONDS = 120  # Of a call; a server that is down or hangs is reported after them.


def write_collection(uri, vectors, ids, labels, k, recall, queries=None, **description):
    """Writes the collection of an encoder, in the place of an earlier one.

    Milvus Lite searches it exactly; a server with its SCANN index, with as many probes
    and candidates as the recall takes. What exports left that were killed goes.

    Args:
        vectors, ids, labels, k, recall, queries: as of `builder.build_scann_index`.
        **description: encoder_hash, and more keys of the manifest.

    Returns:
        The manifest: the description, n, dim, settings and recall.

    Raises:
        ImportError: without pymilvus.
        ValueError: if there is no Milvus, for duplicate ids or ids that it cannot
            keep, or if no setting has that recall.
    """
    rows = _check_rows(vectors, ids, labels)
    client = connect(uri)
    try:
        with answers(uri):
            return _write(client, uri, rows, k, recall, queries, description)
    finally:
        client.close()


def _check_rows(vectors, ids, labels):
    ids = changes.check_ids(map(str, ids))
    labels = [None] * len(ids) if labels is None else list(labels)
    repeated = len(ids) - len(set(ids))
    if repeated or not len(ids) == len(vectors) == len(labels):
        raise UserError(
            "Expected an embedding for each id, and each id once. Received: "
            f"{len(ids)} ids, {repeated} of them again, {len(vectors)} embeddings, "
            f"{len(labels)} labels."
        )
    check_text(ids)
    check_text(labels)
    return changes.Upsert(ids, vectors, labels)


def _write(client, uri, rows, k, recall, queries, description):
    lite = is_lite(client.get_server_version())
    alias = alias_of(description["encoder_hash"])
    drop_left_over(client, alias, lite)
    name = new_name(alias)
    try:
        settings = _fill(client, name, rows, description["encoder_hash"], lite)
        _check_count(client, uri, name, len(rows.ids))
        manifest = {**description, "n": len(rows.ids), "dim": rows.vectors.shape[1]}
        manifest["settings"] = settings
        manifest["recall"] = {"k": k, "target": recall, "value": 1.0}
        manifest["queries"] = "none: it compares every item"
        if settings["kind"] != "FLAT":
            trials = tuning.Trials(rows.vectors, k, queries)
            tried = _Rows(client, name, rows.ids)
            manifest |= _tune(tried, trials, settings, k, recall)
        write_manifest(client, name, manifest, timeout=SECONDS)
        old = name_of(client, alias)
        turn_alias(client, alias, name)
    except BaseException:
        with contextlib.suppress(Exception):  # The first error is the one to report.
            if name_of(client, alias, timeout=SECONDS) != name:
                client.drop_collection(name, timeout=SECONDS)
        raise
    finally:
        done_with(name)
    if old is not None:
        _drop(client, old)
    return manifest


def _fill(client, name, rows, encoder_hash, lite):
    """Makes a collection of the rows; returns the settings that its index has."""
    n, dim = rows.vectors.shape
    # Milvus Lite takes the name SCANN, but cannot build it.
    settings = {"kind": "FLAT"}
    if not lite and n > 1:
        # SCANN codes two dimensions at a time.
        kind = "IVF_FLAT" if dim % 2 else "SCANN"
        settings = {"kind": kind, "nlist": max(1, min(65_536, round(4 * n**0.5)))}
    client.create_collection(
        name,
        schema=make_schema(client, encoder_hash, dim),
        consistency_level="Bounded",
        timeout=SECONDS,
    )
    write_rows(functools.partial(client.insert, name, timeout=SECONDS), rows)
    # The index is built of what is flushed: only then are times and recall its own.
    client.flush(name)
    index = client.prepare_index_params()
    index.add_index(
        "embedding",
        index_type=settings["kind"],
        metric_type="IP",
        params={key: settings[key] for key in settings if key != "kind"},
    )
    client.create_index(name, index)
    client.load_collection(name)
    return settings


def _drop(client, name):
    """Drops the collection that was in use before, if it can."""
    from pymilvus import MilvusException

    try:
        client.drop_collection(name, timeout=SECONDS)
    except MilvusException as error:
        warnings.warn(
            f"The export is in use, but the collection before it, {name}, stays until "
            f"the next one: {error.message}",
            stacklevel=3,
        )


def _check_count(client, uri, name, n):
    (row,) = client.query(
        name,
        filter="",
        output_fields=["count(*)"],
        consistency_level="Strong",
        timeout=SECONDS,
    )
    if row["count(*)"] != n:  # As where a lost answer made pymilvus send rows again.
        raise UnavailableError(
            f"Milvus at {uri} holds {row['count(*)']} rows of the {n} that were "
            "written. Export again."
        )


class _Rows:
    """A collection that answers with rows, for `tuning.Trials`."""

    def __init__(self, client, name, ids):
        self._search = functools.partial(
            client.search, name, consistency_level="Bounded", timeout=SECONDS
        )
        self._row_of = {name: row for row, name in enumerate(ids)}
        self.manifest = None

    def search(self, queries, k):
        found = search_rows(self._search, queries, k, self.manifest)
        rows = np.full([len(queries), k], -1)
        for line, hits in zip(rows, found, strict=True):
            line[: len(hits)] = [self._row_of[name] for name, _ in hits]
        return rows, None


def _tune(rows, trials, settings, k, recall):
    """The parts of the manifest about the settings with that recall."""
    curve = []
    probes = sorted({min(probes, settings["nlist"]) for probes in PROBES})
    efforts = [{"reorder_k": reordered * k} for reordered in REORDERED]
    for effort in efforts if settings["kind"] == "SCANN" else [{}]:
        for nprobe in probes:
            tried = {**settings, "nprobe": nprobe, **effort}
            rows.manifest = {"settings": tried, "recall": {"k": k}}
            curve.append({"settings": tried, **trials.measure(rows)})
            if tuning.reaches(curve[-1], recall):
                # More of both is slower, and finds no less.
                probes = probes[: probes.index(nprobe)]
                break
    chosen = tuning.choose(curve, recall, k)
    return {
        "settings": chosen["settings"],
        "recall": {"k": k, "target": recall, "value": chosen["recall"]},
        "queries": trials.description,
        "curve": curve,
    }
