"""The pictures of the items of an index: of its export, and of what came since."""

import os

from npid_tf.files.folder_swap import standing
from npid_tf.pictures.exported import (
    SIDE,
    exported_pictures,
    picture_of_file,
    times_of,
)
from npid_tf.pictures.store import Known, PictureStore
from npid_tf.search.index_files import read_ids, read_manifest
from npid_tf.search.live.files import PICTURES


class Pictures:
    """Pictures of items; what `store` says of one goes before what was exported.

    Args:
        store: PictureStore.
        exported: as `exported_pictures` returns.
    """

    def __init__(self, store, exported):
        self.store = store
        self.exported = exported

    def having(self, names):
        """Those of the names that have a picture, a set."""
        known = self.store.find(names)
        return {name for name in names if self._has(name, known.get(name))}

    def _has(self, name, known):
        if known is None:
            return self.exported.has(name)
        return bool(known.picture) or times_of(known.file) is not None

    def picture(self, name, side=SIDE):
        """The bytes of a PNG or JPEG of at most side x side pixels, or None.

        One that is kept has 160 at most.
        """
        known = self.store.find([name]).get(name)
        if known is None:
            return self.exported.picture(name, side)
        kept = self.store.picture(name) if known.picture else None
        if kept is None or side > SIDE:
            return picture_of_file(known.file, side) or kept
        return kept

    def names(self):
        """The ids that are known here."""
        return [*dict.fromkeys([*self.exported.names, *self.store.names()])]

    def before_change(self, names):
        """Items are about to be replaced: a picture of before would be a wrong one."""
        known = self.store.find(names)
        old = known.keys() | (self.exported.names & set(names))
        self.store.forget(old)


def pictures_of_folder(index_dir, open_source):
    """Those of the index in EXPORT/index, as `exported_pictures` makes them."""
    directory = standing(index_dir)
    manifest = read_manifest(directory)
    names, *_ = read_ids(directory)
    store = PictureStore(os.path.join(f"{os.path.normpath(index_dir)}.live", PICTURES))
    exported = exported_pictures(manifest, names, open_source, directory)
    return Pictures(store, exported)


def pictures_of_milvus(export_dir, manifest, open_source):
    """Those of an index elsewhere: which ids are files, the store alone tells."""
    data, described = manifest.get("data"), manifest.get("pictures")
    if described is None and data:  # Of before: the data alone tell which are files.
        source = open_source(data)
        names = () if source is None else source.paths or range(source.num_instances)
    else:
        are_files = described and described["kind"] == "files"
        names = () if are_files else range(manifest.get("n", 0))
    store = PictureStore(os.path.join(export_dir, PICTURES))
    return Pictures(store, exported_pictures(manifest, names, open_source))


def begin_pictures(export_dir, manifest, names):
    """Writes which ids of a new index elsewhere are files, in place of what was."""
    described = manifest["pictures"]
    folder, are_files = described["folder"], described["kind"] == "files"
    files = {
        str(name): Known(os.path.join(folder, name)) for name in names if are_files
    }
    store = PictureStore(os.path.join(export_dir, PICTURES))
    store.delete(store.all().keys() - files.keys())
    store.put(files)
    store.close()
