"""Finds the images of an index that are most like others: files, or of the index
itself, or embeddings in a file."""

import contextlib
import dataclasses
import os
import sys

import numpy as np

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.data.decoding.rules import Decoding
from npid_tf.errors import UserError
from npid_tf.pictures.exported import picture_of_file
from npid_tf.pictures.pictures import pictures_of_folder, pictures_of_milvus
from npid_tf.reports.html import SIDE, write_gallery
from npid_tf.runs import data
from npid_tf.runs.search_output import FORMATS
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.saved_models.exported import describe_encoders, embed_files, load_encoder
from npid_tf.search.engines import ENGINES, get_engine
from npid_tf.vector_files import FORMATS as VECTOR_FILES
from npid_tf.vector_files import read_vectors
from npid_tf.vector_files.unit import to_unit_length


@dataclasses.dataclass(frozen=True)
class SearchFlags(Flags):
    """Where is searched, and for what."""

    export_dir: str | None = flag(
        None, "Folder of the exported models and index", path=True
    )
    image: tuple[str, ...] = flag(
        (), "An image file; repeat it, or let more follow bare", repeated=True,
        path=True, may_be_empty=True,
    )  # fmt: skip
    id: tuple[str, ...] = flag(
        (), "An item of the index, by its id; repeat it", repeated=True,
        may_be_empty=True,
    )  # fmt: skip
    embeddings: str | None = flag(
        None, f"A file of embeddings to search for: "
        f"{', '.join(f'FILE{end}' for end in VECTOR_FILES)}", path=True,
    )  # fmt: skip
    k: int = flag(10, "Images to find for each", at_least=1)
    format: str = choice(
        FORMATS, "table", "How they are printed; json is a line for each image"
    )
    gallery: str | None = flag(
        None, "Also write this HTML page of neighbors", path=True
    )
    engine: str = choice(ENGINES, "scann", "What searches: the index of DIR, or Milvus")
    uri: str | None = flag(
        None, "milvus: http://HOST:19530, or the file of a Milvus Lite", path=True,
        only_with={"engine": ("milvus",)},
    )  # fmt: skip


def search(export_dir, image_paths, k, engine="scann", uri=None):
    """The k most similar items of each image file, of the index as it is now.

    Args:
        engine, uri: which index, see `SearchFlags`.

    Returns (results, how): for each file a list of dicts with the keys id, label and
    similarity, the most similar first; and one line on how it was searched.
    Raises ValueError for files that are missing or do not decode, an export without
    index, an index of another encoder, or a k that does not fit.
    """
    flags = SearchFlags(
        export_dir=export_dir, image=tuple(image_paths), k=k, engine=engine, uri=uri
    )
    _, results, how = search_for(flags)
    return results, how


def search_for(flags):
    """(names, results, how): what was searched for, the images first, then ids, then
    embeddings; and the other two as `search`.

    Raises ValueError as `search`, and for ids that are not in the index, and embeddings
    that do not fit it.
    """

    def newest_hash():
        _, description = describe_encoders(flags.export_dir)[0]
        return description["encoder_hash"]

    engine = get_engine(flags.engine, flags.uri)
    index = engine.open(flags.export_dir, flags.uri, newest_hash)
    stats = index.stats()
    if not 1 <= flags.k <= stats["items"]:
        raise UserError(
            f"`k` must be in [1, {stats['items']}], the images in the index. "
            f"Received: {flags.k}."
        )
    names, queries = list(flags.image), []
    if flags.image:
        queries.append(_embed_images(flags, stats["encoder_hash"]))
    if flags.id:
        queries.append(_embeddings_of(index, flags.id))
        names += flags.id
    if flags.embeddings is not None:
        vectors = read_vectors(flags.embeddings)
        _check_encoder(flags.embeddings, vectors.about, stats["encoder_hash"])
        queries.append(to_unit_length(vectors)[0])
        names += vectors.ids
    dims = {each.shape[1] for each in queries} | {stats["dim"]}
    if len(dims) > 1:
        raise UserError(
            f"The index holds embeddings of {stats['dim']} dimensions. Received: "
            f"{flags.embeddings}, of {queries[-1].shape[1]}."
        )
    ids, similarities, exact = index.search(np.concatenate(queries), flags.k)
    results = [
        [
            {"id": name, "label": label, "similarity": float(similarity)}
            for name, label, similarity in zip(
                found, index.labels(found), values, strict=False
            )
        ]
        for found, values in zip(ids, similarities, strict=True)
    ]
    return names, results, _how(stats, exact)


def _embed_images(flags, encoder_hash):
    encoder = load_encoder(flags.export_dir, encoder_hash)
    embeddings, good, bad = embed_files(encoder, flags.image)
    if bad:
        raise UserError("\n".join(bad.values()))
    return embeddings[[good.index(path) for path in flags.image]]


def _embeddings_of(index, ids):
    known = index.known_labels(ids)
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise UserError(f"Not in the index: {', '.join(unknown)}.")
    return index.embeddings(list(ids))


def _check_encoder(path, about, encoder_hash):
    made_by = about.get("encoder_hash", "unknown")
    if "unknown" not in (made_by, encoder_hash) and made_by != encoder_hash:
        raise UserError(
            f"{path} was made by another encoder than the index: their similarities "
            "would mean nothing. Embed the images again, or export again."
        )


def _how(stats, exact):
    if stats["engine"] == "exact":
        return f"Searched exactly, without ScaNN: {stats['why_exact']}"
    engine = ENGINES[stats["engine"]].title
    if exact:
        return f"Searched with {engine}, every item compared."
    recall = stats["recall"]
    return f"Searched with {engine}, recall@{recall['k']} {recall['value']:.4f}."


def write_results(path, flags, names, results):
    """Writes the page of queries and what was found, of `search_for`.

    Each picture needs its own file alone. Returns how many results have none.
    """
    pictures = _pictures(flags)
    # As small as they are shown: together they may be more than the memory holds.
    queries = {}
    if flags.image:  # They are as the encoder has seen them.
        _, description = describe_encoders(flags.export_dir)[0]
        decoding = Decoding.of(description.get("data", {}))
        queries = {name: picture_of_file(name, SIDE, decoding) for name in flags.image}

    def caption(found):
        label = "" if found["label"] is None else f"{found['label']}, "
        return f"{label}{found['similarity']:.3f}, {found['id']}"

    def picture(name):
        # An id is what someone called an image, and never a reason to open a file; but
        # for those that are asked for here.
        return pictures.picture(name, SIDE) or queries.get(name)

    def picture_of_query(number, name):
        return queries[name] if number < len(flags.image) else picture(name)

    shown = [
        [(caption(found), picture(found["id"])) for found in neighbors]
        for neighbors in results
    ]
    write_gallery(
        path,
        [(name, picture_of_query(number, name)) for number, name in enumerate(names)],
        shown,
    )
    return sum(image is None for line in shown for _, image in line)


def _pictures(flags):
    if flags.engine != "milvus":
        directory = os.path.join(flags.export_dir, "index")
        return pictures_of_folder(directory, _open_source)
    _, description = describe_encoders(flags.export_dir)[0]
    index = get_engine(flags.engine, flags.uri).open(
        flags.export_dir, flags.uri, lambda: description["encoder_hash"]
    )
    with contextlib.closing(index):
        return pictures_of_milvus(flags.export_dir, index.manifest, _open_source)


def _open_source(described):
    try:
        return data.build_source(TrainFlags.of(described))
    except (UserError, OSError) as error:
        print(f"No pictures of the training images: {error}", file=sys.stderr)
        return None
