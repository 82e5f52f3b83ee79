"""What a live index holds at any moment: a base, what was added, what is gone."""

import typing

import numpy as np

from npid_tf.errors import UserError
from npid_tf.search.changes import Upsert
from npid_tf.search.exact import best_of, most_similar

NEVER = np.iinfo(np.int64).max


class _View(typing.NamedTuple):
    """A moment: what a search reads, whatever is written meanwhile.

    A place below the base's size is a row of the base; the others were added since.
    Arrays of added items have room beyond `num_added`.
    """

    moment: int  # Changes so far.
    num_added: int
    added: np.ndarray  # float32 [room, dim]
    base_gone: np.ndarray  # int64 [base rows]: the moment when it was deleted
    added_gone: np.ndarray  # int64 [room]
    num_base: int  # Items of the base that are still there.
    num_items: int


class LiveContents:
    """Items in memory: searched by many threads while one changes them.

    A search never waits: it reads one moment, in which a change is there as a whole or
    not at all. `apply` must be called by one thread at a time.

    Args:
        base: BaseIndex.
    """

    def __init__(self, base):
        size, dim = len(base.ids), base.manifest["dim"]
        self.base = base
        self._ids, self._labels = [], []  # Of what was added, in order.
        self._place_of = {name: place for place, name in enumerate(base.ids)}
        if len(self._place_of) != size:
            raise UserError(
                f"{size - len(self._place_of)} of the index's {size} ids come twice. "
                "Export again."
            )
        self._view = _View(
            moment=0,
            num_added=0,
            added=np.empty([16, dim], np.float32),
            base_gone=np.full(size, NEVER),
            added_gone=np.full(16, NEVER),
            num_base=size,
            num_items=size,
        )

    def __len__(self):
        return self._view.num_items

    def __contains__(self, name):
        return name in self._place_of

    def ids(self):
        """The ids of all items, in the order in which they first came."""
        return list(self._place_of)

    def labels(self, ids):
        """The label of each id, None where it has none or is not there."""
        return [self._label(self._place_of.get(name)) for name in ids]

    def known_labels(self, ids):
        """{id: its label or None} of those ids that are there."""
        places = {name: self._place_of.get(name) for name in ids}
        return {
            name: self._label(place)
            for name, place in places.items()
            if place is not None
        }

    def embeddings(self, ids):
        """float32 [num_ids, dim]. Raises ValueError for an id that is not there."""
        return self.vectors_at(np.array([self._place(name) for name in ids], np.int64))

    @property
    def engine(self):
        """What answers: scann, or exact where ScaNN is not to be had."""
        return "exact" if self.base.scann is None else "scann"

    def num_changes(self):
        """(items added since, items of the base gone): what a search does besides."""
        view = self._view
        return view.num_added, len(self.base.ids) - view.num_base

    def stats(self):
        """What it holds and how it searches, as a dict that JSON can take."""
        num_added, num_gone = self.num_changes()
        return {
            "items": len(self),
            "dim": self.base.manifest["dim"],
            "encoder_hash": self.base.manifest["encoder_hash"],
            "engine": self.engine,
            "why_exact": self.base.why_exact,
            "exact": self.base.is_exact,
            "settings": self.base.manifest["settings"],
            "recall": self.base.manifest["recall"],
            "added_since": num_added,
            "base_items_gone": num_gone,
        }

    def items(self):
        """(ids, labels, places) of all items, for `vectors_at` while changes go on."""
        ids, places = list(self._place_of), list(self._place_of.values())
        return ids, [self._label(place) for place in places], np.array(places, np.int64)

    def vectors_at(self, places):
        """float32 [num_places, dim]: those of `items`, also if they have gone since."""
        size = len(self.base.ids)
        vectors = np.empty([len(places), self.base.manifest["dim"]], np.float32)
        in_base = places < size
        vectors[in_base] = self.base.vectors[places[in_base]]
        vectors[~in_base] = self._view.added[places[~in_base] - size]
        return vectors

    def apply(self, change):
        """Makes an Upsert or Delete visible to the searches that begin from now on."""
        view, size = self._view, len(self.base.ids)
        moment, new = view.moment + 1, []
        if isinstance(change, Upsert):
            view = self._write_added(view, change)
            first = size + view.num_added
            new = list(range(first, first + len(change.ids)))
        gone = [self._place_of[name] for name in change.ids if name in self._place_of]
        for place in gone:
            if place < size:
                view.base_gone[place] = moment
            else:
                view.added_gone[place - size] = moment
        self._view = view._replace(
            moment=moment,
            num_added=view.num_added + len(new),
            num_base=view.num_base - sum(place < size for place in gone),
            num_items=view.num_items - len(gone) + len(new),
        )
        if new:
            self._place_of.update(zip(change.ids, new, strict=True))
        else:
            for name in change.ids:
                self._place_of.pop(name, None)

    def _write_added(self, view, change):
        """The view with room for the vectors, and they in it, where none looks yet."""
        end = view.num_added + len(change.vectors)
        if end > len(view.added):
            room = max(end, 2 * len(view.added))
            added = np.empty([room, view.added.shape[1]], np.float32)
            added[: view.num_added] = view.added[: view.num_added]
            added_gone = np.full(room, NEVER)
            added_gone[: view.num_added] = view.added_gone[: view.num_added]
            view = view._replace(added=added, added_gone=added_gone)
        view.added[view.num_added : end] = change.vectors
        self._ids += change.ids
        self._labels += change.labels
        return view

    def search(self, queries, k):
        """The k most similar items of each query, or all where there are fewer.

        Args:
            queries: float32 [num_queries, dim], unit length.
            k: neighbors.

        Returns:
            (ids, similarities, exact): lists of str and float32
            [num_queries, min(k, items)], and whether every item was compared.
        """
        view = self._view
        k = min(k, view.num_items)
        if k == 0 or not len(queries):
            return [[] for _ in queries], np.empty([len(queries), k], np.float32), True
        size = len(self.base.ids)
        found, exact = [], True
        if view.num_base:
            similarities, rows, exact = self._search_base(view, queries, k)
            found.append((similarities, rows))
        if view.num_items > view.num_base:
            added = view.added[: view.num_added]
            is_there = view.added_gone[: view.num_added] > view.moment
            num = min(k, view.num_items - view.num_base)
            similarities, rows = most_similar(queries, added, is_there, num)
            found.append((similarities, size + rows))
        similarities, places = (
            np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)
        )
        similarities, places = best_of(similarities, places, k)
        ids = [[self._id(place) for place in line] for line in places.tolist()]
        return ids, similarities, exact

    def _search_base(self, view, queries, k):
        k = min(k, view.num_base)
        size = len(self.base.ids)
        similarities = np.empty([len(queries), k], np.float32)
        rows = np.empty([len(queries), k], np.int64)
        open_queries = np.arange(len(queries))
        if self.base.scann is not None:
            num_gone = size - view.num_base
            # Some of those found may be gone: look for more, then for many more.
            for more in (min(num_gone, k), min(num_gone, 15 * k)):
                found, products = self.base.scann.search(
                    queries[open_queries], k + more
                )
                is_there = (found >= 0) & (view.base_gone[found] > view.moment)
                first = np.argsort(~is_there, axis=1, kind="stable")[:, :k]
                enough = is_there.sum(axis=1) >= k
                done = open_queries[enough]
                rows[done] = np.take_along_axis(found, first, axis=1)[enough]
                similarities[done] = np.take_along_axis(products, first, 1)[enough]
                open_queries = open_queries[~enough]
                if not len(open_queries):
                    return similarities, rows, self.base.is_exact
        is_there = view.base_gone > view.moment
        similarities[open_queries], rows[open_queries] = most_similar(
            queries[open_queries], self.base.vectors, is_there, k
        )
        all_exact = len(open_queries) == len(queries)
        return similarities, rows, all_exact or self.base.is_exact

    def _id(self, place):
        size = len(self.base.ids)
        return self.base.ids[place] if place < size else self._ids[place - size]

    def _label(self, place):
        size = len(self.base.ids)
        if place is None:
            return None
        return self.base.labels[place] if place < size else self._labels[place - size]

    def _place(self, name):
        place = self._place_of.get(name)
        if place is None:
            raise UserError(f"No item has the id {name!r}.")
        return place
