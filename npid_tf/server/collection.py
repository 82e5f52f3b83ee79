"""The index that is served, and the pictures of its items."""

import itertools

from npid_tf.errors import FileError, UnavailableError
from npid_tf.pictures.store import Known
from npid_tf.search.changes import check_ids, make_upsert
from npid_tf.search.live.index import ReadOnlyError
from npid_tf.server.limits import RequestError, abridged


class Collection:
    """An index, with pictures of its items.

    Args:
        index: LiveIndex or MilvusIndex.
        pictures: Pictures of its items.
    """

    def __init__(self, index, pictures):
        self.index = index
        self.pictures = pictures

    def close(self):
        """Closes the files of both."""
        self.index.close()
        self.pictures.store.close()

    def check_encoder(self, encoder):
        """Raises RequestError if another encoder than this made the index."""
        if encoder.encoder_hash != self.index.encoder_hash:
            raise RequestError(
                503,
                f"The index was made by another encoder than version {encoder.version},"
                " which is served: their similarities would mean nothing. Export again "
                "with `python -m npid_tf.export`.",
            )

    def check_available(self):
        """Raises RequestError if what holds the index does not answer now."""
        if self.index.why_down is not None:
            raise RequestError(503, self.index.why_down)

    def embeddings(self, names):
        """float32 [num_names, dim]. Raises RequestError for an unknown id."""
        known = self.index.known_labels(names)
        for name in names:
            if name not in known:
                raise _unknown(name)
        return self.index.embeddings(names)

    def check_known(self, name):
        """Raises RequestError for an id that is not in the index."""
        if name not in self.index:
            raise _unknown(name)

    def upsert(self, names, embeddings, labels, pictures):
        """Puts items into the index. Raises RequestError for what it refuses.

        pictures: of each item the bytes of a small PNG or JPEG, or None.
        """
        try:
            change = make_upsert(names, embeddings, labels, self.index.dim)
            if not self.index.read_only:
                self.pictures.before_change(change.ids)
            self.index.upsert(names, embeddings, labels)
        except ReadOnlyError as error:
            raise RequestError(403, str(error)) from None
        except (FileError, UnavailableError):
            raise  # Of the disk, or of Milvus, not of the request.
        except ValueError as error:
            raise RequestError(400, str(error)) from None
        kept = [Known(picture=picture) for picture in pictures]
        self.pictures.store.put(dict(zip(names, kept, strict=True)))

    def delete(self, name):
        """Takes an item out of the index. Raises RequestError for an unknown id."""
        try:
            check_ids([name])
        except ValueError:
            raise _unknown(name) from None
        try:
            # The index itself counts: Milvus sees there what others have just added.
            num_gone = self.index.delete([name])
        except ReadOnlyError as error:
            raise RequestError(403, str(error)) from None
        if not num_gone:
            raise _unknown(name)
        self.pictures.store.delete([name])

    def search(self, embeddings, k, threshold):
        """The k most similar items of each embedding.

        Returns:
            (results, exact): for each embedding `describe` of those whose similarity is
            at least the threshold, with it; whether they are the true nearest.

        Raises:
            RequestError: for anything but embeddings.
        """
        try:
            names, similarities, exact = self.index.search(embeddings, k)
        except UnavailableError:
            raise
        except ValueError as error:
            raise RequestError(400, str(error)) from None
        near = [
            [
                (name, value)
                for name, value in zip(*line, strict=False)
                if value >= threshold
            ]
            for line in zip(names, similarities.tolist(), strict=True)
        ]
        # One request to Milvus for all that was found.
        found = list(dict.fromkeys(name for name, _ in itertools.chain(*near)))
        item_of = dict(zip(found, self.describe(found), strict=True))
        results = [
            [{**item_of[name], "similarity": value} for name, value in line]
            for line in near
        ]
        return results, exact

    def describe(self, names):
        """For each id a dict of id, label, and whether it has a thumbnail."""
        label_of = self.index.known_labels(names)
        pictured = self.pictures.having(label_of)
        return [
            {
                "id": name,
                "label": label_of.get(name),
                "has_thumbnail": name in pictured,
            }
            for name in names
        ]

    def thumbnail(self, name):
        """A PNG or JPEG. Raises RequestError for an item without a picture."""
        self.check_known(name)
        picture = self.pictures.picture(name)
        if picture is None:
            raise RequestError(404, f"There is no picture of {abridged(name)!r}.")
        return picture

    def page(self, offset, limit):
        """(`describe` of items from offset on, at most limit; how many there are)."""
        # If there is no order, those known here: pages would not follow each other.
        names = self.index.ids() if self.index.has_order else self.pictures.names()
        return self.describe(names[offset : offset + limit]), len(names)


def _unknown(name):
    return RequestError(404, f"No item has the id {abridged(name)!r}.")
