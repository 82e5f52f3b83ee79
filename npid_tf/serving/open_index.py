"""Which index a server opens, and when it is another than before."""

import json
import os

from npid_tf.serving.collection import Collection
from npid_tf.serving.image_files import describe_encoders
from npid_tf.serving.live_index import LiveIndex
from npid_tf.serving.milvus_index import MilvusIndex


class OwnIndex:
    """The index in the folder of an export.

    Args:
        export_dir: an export.
        open_source: turns the `data` that a description tells into a source of the
            training images, or None where they are not to be had.
    """

    def __init__(self, export_dir, open_source):
        self._export_dir = export_dir
        self._open_source = open_source

    def identity(self):
        """What is another after another export; None where there is no index."""
        try:
            status = os.stat(os.path.join(self._export_dir, "index"))
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def open(self, before):
        """Its Collection, in the place of the one before, which takes no more changes.

        Raises ValueError where it cannot be opened.
        """
        directory = os.path.join(self._export_dir, "index")
        if before is not None:
            before.index.close()  # Its folder opens once.
        index = LiveIndex(directory)
        with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
            return Collection(index, self._open_source(json.load(file)["data"]))


class IndexInMilvus:
    """The collection in Milvus of the newest encoder of an export.

    Args:
        export_dir, open_source: as of OwnIndex.
        uri: of Milvus.
    """

    def __init__(self, export_dir, open_source, uri):
        self._export_dir = export_dir
        self._open_source = open_source
        self._uri = uri

    def identity(self):
        """The hash of the newest encoder; None where there is none."""
        try:
            _, description = describe_encoders(self._export_dir)[0]
        except ValueError:
            return None
        return description["encoder_hash"]

    def open(self, before):
        """Its Collection. Raises ValueError where there is none of that encoder."""
        index = MilvusIndex(self._uri, self.identity())
        return Collection(index, self._open_source(index.manifest["data"]))
