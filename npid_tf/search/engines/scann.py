"""The index in the folder of the export: ScaNN's, or exact where ScaNN is missing."""

import os

from npid_tf.search.builder import build_scann_index
from npid_tf.search.engines.engine import Engine
from npid_tf.search.live.reader import read_contents
from npid_tf.search.scann_index import import_scann


def _check_write(uri):
    import_scann()


def _write(folder, uri, items, description):
    index = build_scann_index(
        items.vectors, items.ids, items.labels, items.k, items.recall, items.dtype,
        items.queries, **description,
    )  # fmt: skip
    os.makedirs(os.path.join(folder, "index"))
    index.save(os.path.join(folder, "index"))
    return index.manifest


def _open(export_dir, uri, newest_hash):
    return read_contents(os.path.join(export_dir, "index"))


def _tell(manifest, uri):
    settings = manifest["settings"]
    size = manifest["bytes"] / 1e6
    return f"({settings['kind']}, {settings['dtype']}, {size:,.1f} MB"


ENGINE = Engine("scann", "ScaNN", False, _check_write, _write, _open, _tell)
