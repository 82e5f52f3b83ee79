"""The index in Milvus, for more images than one machine holds."""

import functools
import os

import numpy as np

from npid_tf.errors import UserError
from npid_tf.search import changes
from npid_tf.search.milvus.connection import answers, connect
from npid_tf.search.milvus.names import alias_of, name_of
from npid_tf.search.milvus.requests import SECONDS, Requests
from npid_tf.search.milvus.rows import (
    ITEMS,
    MAX_RESULTS,
    ROWS_AT_ONCE,
    check_text,
    key_of,
    label_of,
    read_manifest,
    search_rows,
    write_rows,
)
from npid_tf.search.neighbors import Neighbors

LOOK_SECONDS = 3  # For what is asked again soon.
LOAD_SECONDS = (
    60  # For loading a collection; a longer load continues in the background.
)


class MilvusIndex:
    """The items of one encoder in Milvus, with the methods of `LiveIndex`.

    A change is in Milvus when `upsert` or `delete` returns, and this object's searches
    see it at once; those of others after 5 seconds at most.

    Args:
        uri: http://HOST:19530, or the path of a Milvus Lite. What a server asks for, a
            token or user:password, is read from the environment's MILVUS_TOKEN.
        encoder_hash: of the encoder.

    Attributes:
        manifest: what `write_collection` returned.
        engine: what answers.
        read_only: whether it refuses changes.
        has_order: whether `ids` has the order in which items came, and costs little.
        why_down: why Milvus did not answer when it was last asked; None: it did.

    Raises:
        ImportError: without pymilvus.
        ValueError: if there is no collection of that encoder; of it
            UnavailableError, as from every method, if Milvus does not answer.
    """

    engine = "milvus"
    read_only = False
    has_order = False

    def __init__(self, uri, encoder_hash):
        self.uri, self.encoder_hash = uri, encoder_hash
        self._alias = alias_of(encoder_hash)
        if "://" not in uri and uri.endswith(".db") and not os.path.exists(uri):
            raise self._no_collection()  # To open it would make an empty one.
        self._client = connect(uri)
        self._requests = Requests(self._client, uri, self._alias)
        self._ask = self._requests.ask
        try:
            self._open()
        except BaseException:
            self._client.close()
            raise

    def _open(self):
        """Reads what the collection is that the alias names now, and loads it."""
        with answers(self.uri):
            name = name_of(self._client, self._alias, timeout=SECONDS)
            if name is None:
                raise self._no_collection()
            self._client.load_collection(name, timeout=LOAD_SECONDS)
            where = f"The collection {name} in Milvus at {self.uri}"
            manifest, self._num_parts = read_manifest(
                self._client, name, where, timeout=SECONDS
            )
        if manifest["encoder_hash"] != self.encoder_hash:
            raise UserError(
                f"{where} is of the encoder {manifest['encoder_hash'][:24]}, not of "
                f"{self.encoder_hash[:24]}: similarities between the two mean nothing. "
                "Export again with `python -m npid_tf.export --engine=milvus`."
            )
        self._name, self.manifest = name, manifest
        self.dim = manifest["dim"]

    def follow(self):
        """Looks whether Milvus answers, and opens what another export has put there.

        It sets `why_down` and raises nothing: a server calls it now and then.
        """
        try:
            with answers(self.uri):
                name = name_of(self._client, self._alias, timeout=LOOK_SECONDS)
            if name != self._name:
                self._open()
            # A search takes more of Milvus than a name.
            self._get([""], "id", consistency_level="Bounded", timeout=LOOK_SECONDS)
        except UserError as error:
            self._requests.why_down = str(error)

    @property
    def why_down(self):
        return self._requests.why_down

    def __len__(self):
        rows = self._ask("query", filter="", output_fields=["count(*)"])
        return rows[0]["count(*)"] - self._num_parts

    def __contains__(self, name):
        return bool(self._get([name], "id"))

    def ids(self):
        """The ids of all items, a list of str, in no order: it reads them all."""
        pages = self._ask(
            "query_iterator",
            ROWS_AT_ONCE,
            partition_names=[ITEMS],
            output_fields=["id"],
        )
        try:
            return [row["id"] for page in iter(pages.next, []) for row in page]
        finally:
            pages.close()

    def labels(self, ids):
        """The label of each id: str, or None if it has no label or does not exist."""
        found = self.known_labels(ids)
        return [found.get(name) for name in ids]

    def known_labels(self, ids):
        """{id: its label, str or None} of those ids that exist."""
        fields = ["label"] if self._is_of_before() else ["label", "labelled"]
        return {name: label_of(row) for name, row in self._get(ids, *fields).items()}

    def embeddings(self, ids):
        """float32 [num_ids, dim]. Raises ValueError for an id that is not there."""
        ids = changes.check_ids(ids)
        found = self._get(ids, "embedding")
        for name in ids:
            if name not in found:
                raise UserError(f"No item has the id {name!r}.")
        vectors = [found[name]["embedding"] for name in ids]
        return np.array(vectors, np.float32).reshape(-1, self.dim)

    def search(self, embeddings, k):
        """The k most similar items of each embedding, the most similar first.

        Args:
            embeddings: float32 [n, dim], unit length.
            k: neighbors, at most 16,384.

        Returns:
            `Neighbors`, as `LiveIndex.search`.

        Raises:
            ValueError: for embeddings that the index of this encoder cannot hold.
        """
        if not 1 <= k <= MAX_RESULTS:
            raise UserError(
                f"`k` must be at least 1, and for Milvus at most {MAX_RESULTS}. "
                f"Received: {k}."
            )
        queries = changes.check_embeddings(embeddings, self.dim)
        found = search_rows(
            functools.partial(self._ask, "search"), queries, k, self.manifest
        )
        similarities = np.full(
            [len(queries), max(map(len, found), default=0)], np.nan, np.float32
        )
        for line, hits in zip(similarities, found, strict=True):
            line[: len(hits)] = [similarity for _, similarity in hits]
        ids = [[name for name, _ in hits] for hits in found]
        is_exact = self.manifest["settings"]["kind"] == "FLAT"
        return Neighbors(ids, similarities, is_exact)

    def upsert(self, ids, embeddings, labels=None):
        """Adds items, or replaces those with the same ids; see `LiveIndex.upsert`.

        If Milvus fails, the first of many may have been written.
        """
        change = changes.make_upsert(ids, embeddings, labels, self.dim)
        check_text(change.ids)
        check_text(change.labels)
        write_rows(self._upsert_rows, change, nullable=self._is_of_before())

    def delete(self, ids):
        """Takes items out; returns how many there were: unknown ids do not count."""
        ids = list(dict.fromkeys(changes.check_ids(ids)))
        there = list(self._get(ids, "id", consistency_level="Strong"))
        for start in range(0, len(there), ROWS_AT_ONCE):
            names = there[start : start + ROWS_AT_ONCE]
            self._ask("delete", ids=list(map(key_of, names)))
        return len(there)

    def stats(self):
        """What it holds and how it searches, as a dict that JSON can take."""
        settings = self.manifest["settings"]
        return {
            "items": len(self),
            "dim": self.dim,
            "encoder_hash": self.encoder_hash,
            "engine": self.engine,
            "exact": settings["kind"] == "FLAT",
            "settings": settings,
            "recall": self.manifest["recall"],
        }

    def close(self):
        self._client.close()

    def _is_of_before(self):
        return "format" not in self.manifest

    def _no_collection(self):
        return UserError(
            f"{self.uri} has no collection of the encoder {self.encoder_hash[:12]}. "
            "Make it with `python -m npid_tf.export --engine=milvus --uri=...`."
        )

    def _upsert_rows(self, rows):
        self._ask("upsert", data=rows)

    def _get(self, ids, *fields, **how):
        """{id: the row with those fields} of those that exist."""
        found, keys = {}, [key_of(name) for name in ids]
        for start in range(0, len(keys), ROWS_AT_ONCE):
            rows = self._ask(
                "get",
                ids=keys[start : start + ROWS_AT_ONCE],
                partition_names=[ITEMS],
                output_fields=["id", *fields],
                **how,
            )
            found |= {row["id"]: row for row in rows}
        return found
