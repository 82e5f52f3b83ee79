"""The contents of a live index, as snapshots: a segment, a delta, and tombstones.

The segment is an index that never changes. Items that came later are rows of the delta.
An item that was deleted or replaced stays where it is and gets a tombstone. A slot is
the number of a row: first those of the segment, then those of the delta.
"""

import typing

import numpy as np

from npid_tf.errors import UserError
from npid_tf.search.changes import Upsert
from npid_tf.search.exact import best_of, most_similar

NEVER = np.iinfo(np.int64).max


class _Snapshot(typing.NamedTuple):
    """What a search reads, regardless of what is written at the same time.

    The arrays of the delta have room for more rows than `num_delta`.
    """

    version: int  # Number of changes so far.
    num_delta: int  # Rows of the delta, deleted ones included.
    delta: np.ndarray  # float32 [room, dim]
    segment_tombstones: np.ndarray  # int64 [rows]: version of the deletion, or NEVER
    delta_tombstones: np.ndarray  # int64 [room]
    num_segment: int  # Rows of the segment without a tombstone.
    num_items: int


class LiveContents:
    """Items in memory: searched by many threads while one thread changes them.

    A search never waits: it reads one snapshot, which contains a change entirely or
    not at all. Only one thread at a time may call `apply`.

    Args:
        segment: Segment.
    """

    def __init__(self, segment):
        size, dim = len(segment.ids), segment.manifest["dim"]
        self.segment = segment
        self._ids, self._labels = [], []  # Of the rows of the delta.
        self._slot_of = {name: slot for slot, name in enumerate(segment.ids)}
        if len(self._slot_of) != size:
            raise UserError(
                f"{size - len(self._slot_of)} of the index's {size} ids are "
                "duplicates. Export again."
            )
        self._snapshot = _Snapshot(
            version=0,
            num_delta=0,
            delta=np.empty([16, dim], np.float32),
            segment_tombstones=np.full(size, NEVER),
            delta_tombstones=np.full(16, NEVER),
            num_segment=size,
            num_items=size,
        )

    def __len__(self):
        return self._snapshot.num_items

    def __contains__(self, name):
        return name in self._slot_of

    def ids(self):
        """The ids of all items, in the order of their first insertion."""
        return list(self._slot_of)

    def labels(self, ids):
        """The label of each id; None if it has no label or does not exist."""
        return [self._label(self._slot_of.get(name)) for name in ids]

    def known_labels(self, ids):
        """{id: its label or None} of those ids that exist."""
        slots = {name: self._slot_of.get(name) for name in ids}
        return {
            name: self._label(slot) for name, slot in slots.items() if slot is not None
        }

    def embeddings(self, ids):
        """float32 [num_ids, dim]. Raises ValueError for an id that does not exist."""
        return self.vectors_at(np.array([self._slot(name) for name in ids], np.int64))

    @property
    def engine(self):
        """What searches: scann, or exact if ScaNN is not available."""
        return "exact" if self.segment.scann is None else "scann"

    def num_changes(self):
        """(rows of the delta, tombstones of the segment): what slows a search down."""
        snapshot = self._snapshot
        return snapshot.num_delta, len(self.segment.ids) - snapshot.num_segment

    def stats(self):
        """Number of items, settings and recall of the search: a dict for JSON."""
        num_delta, num_deleted = self.num_changes()
        return {
            "items": len(self),
            "dim": self.segment.manifest["dim"],
            "encoder_hash": self.segment.manifest["encoder_hash"],
            "engine": self.engine,
            "why_exact": self.segment.why_exact,
            "exact": self.segment.is_exact,
            "settings": self.segment.manifest["settings"],
            "recall": self.segment.manifest["recall"],
            "added_since": num_delta,
            "base_items_gone": num_deleted,
        }

    def items(self):
        """(ids, labels, slots) of all items, for `vectors_at` while changes go on."""
        ids, slots = list(self._slot_of), list(self._slot_of.values())
        return ids, [self._label(slot) for slot in slots], np.array(slots, np.int64)

    def vectors_at(self, slots):
        """float32 [num_slots, dim]; `slots` of `items` stay valid after deletions."""
        size = len(self.segment.ids)
        vectors = np.empty([len(slots), self.segment.manifest["dim"]], np.float32)
        in_segment = slots < size
        vectors[in_segment] = self.segment.vectors[slots[in_segment]]
        vectors[~in_segment] = self._snapshot.delta[slots[~in_segment] - size]
        return vectors

    def apply(self, change):
        """Applies an Upsert or Delete, which all searches begun afterwards see."""
        snapshot, size = self._snapshot, len(self.segment.ids)
        version, new = snapshot.version + 1, []
        if isinstance(change, Upsert):
            snapshot = self._write_delta(snapshot, change)
            first = size + snapshot.num_delta
            new = list(range(first, first + len(change.ids)))
        deleted = [self._slot_of[name] for name in change.ids if name in self._slot_of]
        for slot in deleted:
            if slot < size:
                snapshot.segment_tombstones[slot] = version
            else:
                snapshot.delta_tombstones[slot - size] = version
        self._snapshot = snapshot._replace(
            version=version,
            num_delta=snapshot.num_delta + len(new),
            num_segment=snapshot.num_segment - sum(slot < size for slot in deleted),
            num_items=snapshot.num_items - len(deleted) + len(new),
        )
        if new:
            self._slot_of.update(zip(change.ids, new, strict=True))
        else:
            for name in change.ids:
                self._slot_of.pop(name, None)

    def _write_delta(self, snapshot, change):
        """The snapshot, with new vectors behind `num_delta`, where no search looks."""
        end = snapshot.num_delta + len(change.vectors)
        if end > len(snapshot.delta):
            room = max(end, 2 * len(snapshot.delta))
            delta = np.empty([room, snapshot.delta.shape[1]], np.float32)
            delta[: snapshot.num_delta] = snapshot.delta[: snapshot.num_delta]
            delta_tombstones = np.full(room, NEVER)
            delta_tombstones[: snapshot.num_delta] = snapshot.delta_tombstones[
                : snapshot.num_delta
            ]
            snapshot = snapshot._replace(delta=delta, delta_tombstones=delta_tombstones)
        snapshot.delta[snapshot.num_delta : end] = change.vectors
        self._ids += change.ids
        self._labels += change.labels
        return snapshot

    def search(self, queries, k):
        """The k most similar items of each query, or all items if there are fewer.

        Args:
            queries: float32 [num_queries, dim], unit length.
            k: neighbors.

        Returns:
            (ids, similarities, exact): lists of str and float32
            [num_queries, min(k, items)], and whether every item was compared.
        """
        snapshot = self._snapshot
        k = min(k, snapshot.num_items)
        if k == 0 or not len(queries):
            return [[] for _ in queries], np.empty([len(queries), k], np.float32), True
        size = len(self.segment.ids)
        found, exact = [], True
        if snapshot.num_segment:
            similarities, rows, exact = self._search_segment(snapshot, queries, k)
            found.append((similarities, rows))
        if snapshot.num_items > snapshot.num_segment:
            delta = snapshot.delta[: snapshot.num_delta]
            is_there = (
                snapshot.delta_tombstones[: snapshot.num_delta] > snapshot.version
            )
            num = min(k, snapshot.num_items - snapshot.num_segment)
            similarities, rows = most_similar(queries, delta, is_there, num)
            found.append((similarities, size + rows))
        similarities, slots = (
            np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)
        )
        similarities, slots = best_of(similarities, slots, k)
        ids = [[self._id(slot) for slot in line] for line in slots.tolist()]
        return ids, similarities, exact

    def _search_segment(self, snapshot, queries, k):
        k = min(k, snapshot.num_segment)
        size = len(self.segment.ids)
        similarities = np.empty([len(queries), k], np.float32)
        rows = np.empty([len(queries), k], np.int64)
        open_queries = np.arange(len(queries))
        if self.segment.scann is not None:
            num_deleted = size - snapshot.num_segment
            # Some of those found may be deleted: look for more, then for many more.
            for more in (min(num_deleted, k), min(num_deleted, 15 * k)):
                found, products = self.segment.scann.search(
                    queries[open_queries], k + more
                )
                is_there = (found >= 0) & (
                    snapshot.segment_tombstones[found] > snapshot.version
                )
                first = np.argsort(~is_there, axis=1, kind="stable")[:, :k]
                enough = is_there.sum(axis=1) >= k
                done = open_queries[enough]
                rows[done] = np.take_along_axis(found, first, axis=1)[enough]
                similarities[done] = np.take_along_axis(products, first, 1)[enough]
                open_queries = open_queries[~enough]
                if not len(open_queries):
                    return similarities, rows, self.segment.is_exact
        is_there = snapshot.segment_tombstones > snapshot.version
        similarities[open_queries], rows[open_queries] = most_similar(
            queries[open_queries], self.segment.vectors, is_there, k
        )
        all_exact = len(open_queries) == len(queries)
        return similarities, rows, all_exact or self.segment.is_exact

    def _id(self, slot):
        size = len(self.segment.ids)
        return self.segment.ids[slot] if slot < size else self._ids[slot - size]

    def _label(self, slot):
        size = len(self.segment.ids)
        if slot is None:
            return None
        return self.segment.labels[slot] if slot < size else self._labels[slot - size]

    def _slot(self, name):
        slot = self._slot_of.get(name)
        if slot is None:
            raise UserError(f"No item has the id {name!r}.")
        return slot
