"""The index in Milvus, a server or a file of Milvus Lite; it keeps float32."""

import warnings

from npid_tf.search.engines.engine import Engine
from npid_tf.search.milvus.collection import connect, write_collection
from npid_tf.search.milvus.index import MilvusIndex


def _check_write(uri):
    connect(uri).close()


def _write(folder, uri, items, description):
    if items.dtype != "float32":
        warnings.warn(
            f"--index_dtype={items.dtype} is of ScaNN's index; Milvus keeps float32.",
            stacklevel=2,
        )
    return write_collection(
        uri, items.vectors, items.ids, items.labels, items.k, items.recall,
        items.queries, **description,
    )  # fmt: skip


def _open(export_dir, uri, newest_hash):
    return MilvusIndex(uri, newest_hash())


def _tell(manifest, uri):
    return f"in Milvus at {uri} ({manifest['settings']['kind']}"


ENGINE = Engine("milvus", "Milvus", True, _check_write, _write, _open, _tell)
