"""The index in Milvus, for more images than one machine holds."""

import json

import numpy as np

from npid_tf.errors import UserError
from npid_tf.serving import changes
from npid_tf.serving.milvus_collection import (
    ROWS_AT_ONCE,
    alias_of,
    connect,
    key_of,
    search_rows,
    write_rows,
)

ENGINES = ("scann", "milvus")


class MilvusIndex:
    """The items of one encoder in Milvus, with the methods of `LiveIndex`.

    A change is in Milvus when `upsert` or `delete` returns, and searches see it.

    Args:
        uri: http://HOST:19530, or the path of a Milvus Lite. What a server asks for, a
            token or user:password, is read from the environment's MILVUS_TOKEN.
        encoder_hash: of the encoder.

    Attributes:
        manifest: what `write_collection` returned.

    Raises:
        ImportError: without pymilvus.
        ValueError: where there is no Milvus, or no collection of that encoder.
    """

    def __init__(self, uri, encoder_hash):
        self.uri, self.encoder_hash = uri, encoder_hash
        self._client = connect(uri)
        self._name = alias_of(encoder_hash)
        if not self._client.has_collection(self._name):
            self._client.close()
            raise UserError(
                f"{uri} has no collection of the encoder {encoder_hash[:12]}. Make it "
                "with `python -m npid_tf.export --engine=milvus --uri=...`."
            )
        properties = self._client.describe_collection(self._name)["properties"]
        self.manifest = json.loads(properties["npid_tf"])
        self.dim = self.manifest["dim"]

    def __len__(self):
        rows = self._client.query(self._name, filter="", output_fields=["count(*)"])
        return rows[0]["count(*)"]

    def __contains__(self, name):
        return bool(self._get([name], "id"))

    def labels(self, ids):
        """The label of each id: str, or None where it has none or is not there."""
        found = self._get(ids, "label")
        return [found.get(name, {}).get("label") for name in ids]

    def embeddings(self, ids):
        """float32 [num_ids, dim]. Raises ValueError for an id that is not there."""
        found = self._get(changes.check_ids(ids), "embedding")
        for name in ids:
            if name not in found:
                raise UserError(f"No item has the id {name!r}.")
        vectors = [found[name]["embedding"] for name in ids]
        return np.array(vectors, np.float32).reshape(-1, self.dim)

    def search(self, embeddings, k):
        """The k most similar items of each embedding, the most similar first.

        Args:
            embeddings: float32 [n, dim], unit length.
            k: neighbors.

        Returns:
            (ids, similarities, exact): a list of str for each embedding; float32 [n,
            at most k], NaN where fewer were found; whether every item was compared.

        Raises:
            ValueError: for embeddings that the index of this encoder cannot hold.
        """
        if k < 1:
            raise UserError(f"`k` must be at least 1. Received: {k}.")
        queries = changes.check_embeddings(embeddings, self.dim)
        found = search_rows(
            self._client, self._name, queries, k, self.manifest["settings"]
        )
        similarities = np.full(
            [len(queries), max(map(len, found), default=0)], np.nan, np.float32
        )
        for line, hits in zip(similarities, found, strict=True):
            line[: len(hits)] = [similarity for _, similarity in hits]
        ids = [[name for name, _ in hits] for hits in found]
        return ids, similarities, self.manifest["settings"]["kind"] == "FLAT"

    def upsert(self, ids, embeddings, labels=None):
        """Adds items, or replaces those with the same ids; see `LiveIndex.upsert`."""
        change = changes.make_upsert(ids, embeddings, labels, self.dim)
        write_rows(self._client.upsert, self._name, change)

    def delete(self, ids):
        """Takes items out; returns how many there were: unknown ids do not count."""
        there = list(self._get(dict.fromkeys(changes.check_ids(ids)), "id"))
        if there:
            self._client.delete(self._name, ids=[key_of(name) for name in there])
        return len(there)

    def stats(self):
        """What it holds and how it searches, as a dict that JSON can take."""
        settings = self.manifest["settings"]
        return {
            "items": len(self),
            "dim": self.dim,
            "encoder_hash": self.encoder_hash,
            "engine": "milvus",
            "exact": settings["kind"] == "FLAT",
            "settings": settings,
            "recall": self.manifest["recall"],
        }

    def close(self):
        self._client.close()

    def _get(self, ids, field):
        """{id: the row with that field} of those that are there."""
        found, keys = {}, [key_of(name) for name in ids]
        for start in range(0, len(keys), ROWS_AT_ONCE):
            rows = self._client.get(
                self._name,
                ids=keys[start : start + ROWS_AT_ONCE],
                output_fields=["id", field],
            )
            found |= {row["id"]: row for row in rows}
        return found


def check_engine(engine, uri):
    """Raises ValueError for an engine that is unknown or, for Milvus, lacks its uri."""
    if engine not in ENGINES:
        raise UserError(f"Unknown engine {engine!r}. Known: {', '.join(ENGINES)}.")
    if engine == "milvus" and uri is None:
        raise UserError(
            "Where is Milvus? Pass --uri=http://HOST:19530 or --uri=FILE.db."
        )
