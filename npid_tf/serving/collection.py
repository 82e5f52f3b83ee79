"""The index that is served, and the training images behind its ids."""

from npid_tf.errors import FileError
from npid_tf.serving.limits import RequestError, abridged
from npid_tf.serving.live_index import LiveIndex
from npid_tf.serving.training_images import TrainingImages


class Collection:
    """An index, with thumbnails of those of its items that are training images.

    Args:
        index: LiveIndex or MilvusIndex.
        source: of the training images, or None where they are not to be had.
    """

    def __init__(self, index, source):
        self.index = index
        self.images = TrainingImages(source)
        self._replaced = set()  # Ids that stand for another image than in training.

    def engine(self):
        """What answers: scann, exact (where ScaNN is not to be had) or milvus."""
        if isinstance(self.index, LiveIndex):
            return self.index.stats()["engine"]
        return "milvus"  # Its `stats` counts all items.

    def read_only(self):
        """Whether its index takes no changes, as that of a folder one may only read."""
        return getattr(self.index, "read_only", False)  # A MilvusIndex never is.

    def check_encoder(self, encoder):
        """Raises RequestError where another encoder than this made the index."""
        if encoder.encoder_hash != self.index.encoder_hash:
            raise RequestError(
                503,
                f"The index was made by another encoder than version {encoder.version},"
                " which is served: their similarities would mean nothing. Export again "
                "with `python -m npid_tf.export`.",
            )

    def embeddings(self, names):
        """float32 [num_names, dim]. Raises RequestError for an unknown id."""
        for name in names:
            self.check_known(name)
        return self.index.embeddings(names)

    def check_known(self, name):
        """Raises RequestError for an id that is not in the index."""
        if name not in self.index:
            raise RequestError(404, f"No item has the id {abridged(name)!r}.")

    def upsert(self, names, embeddings, labels):
        """Puts items into the index. Raises RequestError for what it refuses."""
        try:
            self.index.upsert(names, embeddings, labels)
        except FileError:
            raise  # Of the disk, not of the request.
        except ValueError as error:
            raise RequestError(400, str(error)) from None
        self._replaced.update(names)

    def delete(self, name):
        """Takes an item out of the index. Raises RequestError for an unknown id."""
        self.check_known(name)
        self.index.delete([name])

    def search(self, embeddings, k, threshold):
        """The k most similar items of each embedding.

        Returns:
            (results, exact): for each embedding `describe` of those whose similarity is
            at least the threshold, with it; whether they are the true nearest.

        Raises:
            RequestError: for what are no embeddings.
        """
        try:
            names, similarities, exact = self.index.search(embeddings, k)
        except ValueError as error:
            raise RequestError(400, str(error)) from None
        results = [
            [
                {**item, "similarity": similarity}
                for item, similarity in zip(self.describe(line), values, strict=False)
                if similarity >= threshold
            ]
            for line, values in zip(names, similarities.tolist(), strict=True)
        ]
        return results, exact

    def describe(self, names):
        """For each id a dict of id, label, and whether it has a thumbnail."""
        labels = self.index.labels(names)
        return [
            {"id": name, "label": label, "has_thumbnail": self.has_thumbnail(name)}
            for name, label in zip(names, labels, strict=True)
        ]

    def has_thumbnail(self, name):
        """Whether an item is one of the training images, as it was in training."""
        return name in self.images and name not in self._replaced and name in self.index

    def thumbnail(self, name):
        """A PNG. Raises RequestError for an item that is no training image."""
        self.check_known(name)
        if not self.has_thumbnail(name):
            raise RequestError(404, "Only training images have thumbnails.")
        return self.images.thumbnail(name)

    def page(self, offset, limit):
        """(`describe` of items from offset on, at most limit; how many there are)."""
        if isinstance(self.index, LiveIndex):
            names = self.index.ids()
        else:  # Milvus has no order: those known here.
            names = self.images.names()
        return self.describe(names[offset : offset + limit]), len(names)
