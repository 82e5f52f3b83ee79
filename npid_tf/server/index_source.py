"""Which index a server opens, and when it is another than before."""

import os

from npid_tf.files.folder_swap import standing
from npid_tf.pictures.pictures import pictures_of_folder, pictures_of_milvus
from npid_tf.saved_models.exported import describe_encoders
from npid_tf.search.index_files import MANIFEST, read_manifest
from npid_tf.search.live.files import InUseError
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.milvus.index import MilvusIndex
from npid_tf.server.collection import Collection


class LocalIndexSource:
    """The index in the folder of an export.

    One process at a time changes it. If another does, or the folder may not be
    written, it is searched all the same, and follows that one's changes; when it is to
    be had, this one changes it from then on.

    Args:
        export_dir: an export.
        open_source: turns the `data` of a description into a source of the
            images (see data/sources), or None if they are not available.
        read_only: never change it.
    """

    def __init__(self, export_dir, open_source, read_only=False):
        self._directory = os.path.join(export_dir, "index")
        self._open_source = open_source
        self._read_only = read_only

    def identity(self):
        """Differs after another export; None if there is no index."""
        directory = standing(self._directory)
        try:
            folder, file = map(os.stat, (directory, os.path.join(directory, MANIFEST)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return folder.st_ino, folder.st_mtime_ns, file.st_ino, file.st_mtime_ns

    def fits(self):
        """(hash of the encoder that made it, version or None); None: not known."""
        try:
            manifest = read_manifest(standing(self._directory))
        except ValueError:
            return None
        return manifest.get("encoder_hash"), manifest.get("version")

    def open(self, before):
        """Its Collection, in the place of the one before, which takes no more changes.

        Raises ValueError if it cannot be opened.
        """
        if before is not None:
            before.close()  # Its folder opens once.
        try:
            index = LiveIndex(self._directory, read_only=self._read_only)
        except InUseError as error:
            print(f"Searching, but taking no changes: {error}", flush=True)
            index = LiveIndex(self._directory, read_only=True)
        try:
            pictures = pictures_of_folder(self._directory, self._open_source)
            return Collection(index, pictures)
        except BaseException:
            index.close()
            raise

    def keep_up(self, collection):
        """Takes in what others wrote; takes changes as soon as nobody else does."""
        index = collection.index
        if self._read_only or not index.read_only:
            len(index)  # Which follows, if it is read.
            return
        try:
            index.take_over()
        except (ValueError, OSError):
            len(index)
        else:
            print("The index takes changes from now on.", flush=True)


class MilvusIndexSource:
    """The collection in Milvus of the newest encoder of an export.

    Args:
        export_dir, open_source: as of LocalIndexSource.
        uri: of Milvus.
    """

    def __init__(self, export_dir, open_source, uri):
        self._export_dir = export_dir
        self._open_source = open_source
        self._uri = uri

    def identity(self):
        """The hash of the newest encoder; None if there is none."""
        try:
            _, description = describe_encoders(self._export_dir)[0]
        except ValueError:
            return None
        return description["encoder_hash"]

    def fits(self):
        return None  # The newest encoder: see `identity`.

    def keep_up(self, collection):
        """Looks whether Milvus answers, and has what another export put there."""
        collection.index.follow()

    def open(self, before):
        """Its Collection. Raises ValueError if there is none of that encoder."""
        index = MilvusIndex(self._uri, self.identity())
        pictures = pictures_of_milvus(
            self._export_dir, index.manifest, self._open_source
        )
        return Collection(index, pictures)


# By the name of the engine: functions of `ServeFlags` and `open_source`.
SOURCES = {
    "scann": lambda flags, open_source: LocalIndexSource(
        flags.export_dir, open_source, flags.read_only
    ),
    "milvus": lambda flags, open_source: MilvusIndexSource(
        flags.export_dir, open_source, flags.uri
    ),
}
