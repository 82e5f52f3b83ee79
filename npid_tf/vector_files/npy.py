"""NumPy's .npy of the embeddings, and a CSV of row, path and label beside it.

What made them is a line of JSON after the array, which `np.load` does not read. A .npy
of others may stand alone; a CSV beside it may have `id` for `path`, and need not have
`row` and `label`.
"""

import csv
import json
import os

import numpy as np

from npid_tf.errors import FileError
from npid_tf.files.tables import write_csv
from npid_tf.files.whole_files import open_whole
from npid_tf.vector_files.format import Format, checked, digest_of_ids, numbered
from npid_tf.vector_files.npz import write_array


def table_path(path):
    """The CSV beside a .npy."""
    return f"{os.path.splitext(path)[0]}.csv"


def _write(path, vectors):
    labels = vectors.label_texts() or [None] * len(vectors.ids)
    lines = (
        [row, name, "" if label is None else label]
        for row, (name, label) in enumerate(zip(vectors.ids, labels, strict=True))
    )
    write_csv(table_path(path), ["row", "path", "label"], lines)
    names = vectors.class_names
    about = {
        **vectors.about,
        "class_names": None if names is None else list(names),
        "ids": digest_of_ids(vectors.ids),
    }
    with open_whole(path, "wb") as file:
        write_array(file, vectors.embeddings)
        file.write(f"\n{json.dumps(about)}\n".encode())


def _read(path):
    try:
        embeddings = np.load(path, mmap_mode="r")
        if not isinstance(embeddings, np.memmap):
            raise ValueError("it is an archive")
        with open(path, "rb") as file:
            file.seek(embeddings.offset + embeddings.nbytes)
            about = json.loads(file.read() or "{}")
    except (ValueError, EOFError) as error:
        raise FileError(
            f"{path} is damaged, or holds no array of numbers: {error}."
        ) from error
    if not os.path.exists(table_path(path)):
        if about:
            raise FileError(
                f"{table_path(path)} is missing: it has the ids of {path}. Put it back."
            )
        return checked(path, embeddings, None, None, None, about)
    ids, texts = _read_table(table_path(path))
    known = about.get("class_names")
    if known is None and all(t is None or t.lstrip("-").isdecimal() for t in texts):
        texts = [None if text is None else int(text) for text in texts]
    labels, class_names = numbered(texts, known)
    if about and digest_of_ids(ids) != about.get("ids"):
        raise FileError(
            f"{table_path(path)} is not the one that was written with {path}: it has "
            "other ids, or in another order. Write both again, or move the CSV away."
        )
    return checked(path, embeddings, ids, labels, class_names, about)


def _read_table(path):
    """(ids, labels as text or None) of a CSV, in the order of `row`, if it has that."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        key = next((name for name in ("path", "id") if name in columns), None)
        if key is None:
            raise FileError(
                f"{path} must have a column `path` or `id`, of the rows of the .npy. "
                f"Received: {', '.join(columns)}."
            )
        lines = list(reader)
    if "row" in columns:
        try:
            rows = [int(line["row"]) for line in lines]
        except (TypeError, ValueError) as error:
            raise FileError(
                f"{path} has a `row` that is no number: {error}."
            ) from error
        if sorted(rows) != list(range(len(lines))):
            raise FileError(f"{path} must number each `row` from 0 once.")
        lines = [lines[place] for place in np.argsort(rows)]
    return [line[key] for line in lines], [line.get("label") or None for line in lines]


FORMAT = Format(".npy", _write, _read)
