"""JSON lines: {"id": ..., "label": ..., "embedding": [...]} for each image.

The first line has `about` too: what made them. Of others' files too, `embedding`,
`embeddings` or `vector`; `id` or `path`.
"""

import json

import numpy as np

from npid_tf.errors import FileError
from npid_tf.files.whole_files import open_whole
from npid_tf.vector_files.format import ROWS_AT_ONCE, Format, blocks, checked, numbered

EMBEDDINGS = ("embedding", "embeddings", "vector")
IDS = ("id", "path")


def _write(path, vectors):
    # Nine digits are all that a float32 has.
    numbers = ",".join(["%.9g"] * vectors.embeddings.shape[1])
    labels = vectors.label_texts() or [None] * len(vectors.ids)
    names = vectors.class_names
    about = {
        **vectors.about,
        "class_names": None if names is None else list(names),
        "rows": len(vectors.ids),
    }
    head = f'"about": {json.dumps(about)}, '
    with open_whole(path) as file:
        for first, block in blocks(vectors.embeddings):
            for row, embedding in enumerate(block.tolist(), start=first):
                told = {"id": vectors.ids[row], "label": labels[row]}
                file.write(
                    f"{{{head}{json.dumps(told)[1:-1]}, "
                    f'"embedding": [{numbers % tuple(embedding)}]}}\n'
                )
                head = ""


def _read(path):
    ids, texts, some, parts, about, dim = [], [], [], [], {}, None
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                told = json.loads(line)
                key = next(name for name in EMBEDDINGS if name in told)
                embedding = np.array(told[key], np.float32)
                if embedding.ndim != 1:
                    raise ValueError(f"{key} must be a list of numbers")
                name = next((told[name] for name in IDS if name in told), len(ids))
            except (ValueError, TypeError, StopIteration, RecursionError) as error:
                what = (
                    error if str(error) else f"it has none of {', '.join(EMBEDDINGS)}"
                )
                raise FileError(f"{path}, line {number}: {what}.") from error
            about = told.get("about", about)
            dim = len(embedding) if dim is None else dim
            if len(embedding) != dim:
                raise FileError(
                    f"{path}, line {number}: expected an embedding of {dim} numbers. "
                    f"Received: {len(embedding)}."
                )
            ids.append(str(name))
            texts.append(told.get("label"))
            some.append(embedding)
            if len(some) == ROWS_AT_ONCE:
                parts.append(np.stack(some))
                some = []
    parts += [np.stack(some)] if some else []
    if not parts:
        raise FileError(f"{path} holds no embeddings.")
    if about.get("rows", len(ids)) != len(ids):
        raise FileError(
            f"{path} is damaged: {about['rows']} lines were written. Received: "
            f"{len(ids)}."
        )
    names = about.get("class_names")
    if about and names is None:  # The numbers were the names.
        texts = [None if text is None else int(text) for text in texts]
    return checked(path, np.concatenate(parts), ids, *numbered(texts, names), about)


FORMAT = Format(".jsonl", _write, _read)
