"""Parquet: columns `id`, `label` (text) and `embedding` (a list of `dim` float32).

Written and read by pyarrow. Of others' files too, `embedding`, `embeddings` or
`vector`, as lists of one length; `id`, `path` or `ids`. Text in Parquet is Unicode:
where a name is not, the column holds the bytes of all names.
"""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from npid_tf.errors import FileError
from npid_tf.errors.printable import is_unicode
from npid_tf.files.whole_files import open_whole
from npid_tf.vector_files.format import ROWS_AT_ONCE, Format, blocks, checked, numbered

KEY = b"npid_tf"  # of the file's metadata
EMBEDDINGS = ("embedding", "embeddings", "vector")
IDS = ("id", "path", "ids")


def _write(path, vectors):
    dim = vectors.embeddings.shape[1]
    is_text = all(map(is_unicode, vectors.ids))
    ids = vectors.ids if is_text else [os.fsencode(name) for name in vectors.ids]
    labels = vectors.label_texts() or [None] * len(ids)
    names = vectors.class_names
    about = {**vectors.about, "class_names": None if names is None else list(names)}
    schema = pa.schema(
        [
            ("id", pa.string() if is_text else pa.binary()),
            ("label", pa.string()),
            ("embedding", pa.list_(pa.float32(), dim)),
        ],
        metadata={KEY: json.dumps(about)},
    )
    with open_whole(path, "wb") as file, pq.ParquetWriter(file, schema) as writer:
        for first, block in blocks(vectors.embeddings):
            some = slice(first, first + len(block))
            columns = [
                pa.array(ids[some], schema.field("id").type),
                pa.array(labels[some], pa.string()),
                pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), dim),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _read(path):
    try:
        with pq.ParquetFile(path) as file:
            about = (file.schema_arrow.metadata or {}).get(KEY, b"{}")
            return _read_columns(path, file, json.loads(about))
    except (pa.ArrowInvalid, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is damaged, or no Parquet file: {error}.") from error


def _read_columns(path, file, about):
    columns = file.schema_arrow.names
    key = _one_of(path, EMBEDDINGS, columns)
    ids_key = next((name for name in IDS if name in columns), None)
    wanted = [name for name in (key, ids_key, "label") if name in columns]
    embeddings, ids, texts, first = None, [], [], 0
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=wanted):
        block = _numbers(path, batch.column(key), first)
        if embeddings is None:
            shape = file.metadata.num_rows, block.shape[1]
            embeddings = np.empty(shape, np.float32)
        if block.shape[1] != embeddings.shape[1]:
            raise _unequal(path, first)
        embeddings[first : first + len(block)] = block
        first += len(block)
        if ids_key is not None:
            ids += map(_as_text, batch.column(ids_key).to_pylist())
        if "label" in columns:
            texts += batch.column("label").to_pylist()
    if embeddings is None:
        raise FileError(f"{path} holds no rows.")
    labels, class_names = _labels(texts, about)
    ids = ids if ids_key is not None else None
    return checked(path, embeddings, ids, labels, class_names, about)


def _labels(texts, about):
    names = about.get("class_names")
    if about and names is None:  # The numbers were the names.
        texts = [None if text is None else int(text) for text in texts]
    return numbered(texts, names)


def _numbers(path, column, first):
    """float32 [rows, dim] of a column of lists."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not is_list and not pa.types.is_fixed_size_list(column.type):
        raise FileError(
            f"{path} must hold embeddings as lists. Received: {column.type}."
        )
    if column.null_count or column.flatten().null_count:
        raise FileError(
            f"{path} lacks an embedding, or a number of one, in the rows from {first} "
            f"to {first + len(column) - 1}."
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    dim = len(values) // len(column)
    if not pa.types.is_fixed_size_list(column.type):
        lengths = column.value_lengths().to_numpy()
        if (lengths != dim).any():
            raise _unequal(path, first + int(np.argmax(lengths != dim)))
    return values.reshape(len(column), dim)


def _unequal(path, row):
    return FileError(f"{path}: the embedding of row {row} has another length.")


def _one_of(path, names, columns):
    for name in names:
        if name in columns:
            return name
    raise FileError(
        f"{path} must have a column {' or '.join(names)}. Received: "
        f"{', '.join(columns)}."
    )


def _as_text(name):
    return os.fsdecode(name) if isinstance(name, bytes) else str(name)


FORMAT = Format(".parquet", _write, _read)
