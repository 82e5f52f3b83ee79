"""Finds the images of an export that are most like others."""

import contextlib
import dataclasses
import os
import sys

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.errors import UserError
from npid_tf.pictures.exported import picture_of_file
from npid_tf.pictures.pictures import pictures_of_folder, pictures_of_milvus
from npid_tf.reports.html import SIDE, write_gallery
from npid_tf.runs import data
from npid_tf.runs.search_output import FORMATS
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.saved_models.exported import describe_encoders, embed_files, load_encoder
from npid_tf.search.engines import ENGINES, get_engine


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

    def newest_hash():
        _, description = describe_encoders(export_dir)[0]
        return description["encoder_hash"]

    index = get_engine(engine, uri).open(export_dir, uri, newest_hash)
    stats = index.stats()
    if not 1 <= k <= stats["items"]:
        raise UserError(
            f"`k` must be in [1, {stats['items']}], the images in the index. "
            f"Received: {k}."
        )
    encoder = load_encoder(export_dir, stats["encoder_hash"])
    embeddings, good, bad = embed_files(encoder, image_paths)
    if bad:
        raise UserError("\n".join(bad.values()))
    embeddings = embeddings[[good.index(path) for path in image_paths]]
    ids, similarities, exact = index.search(embeddings, k)
    results = [
        [
            {"id": name, "label": label, "similarity": float(similarity)}
            for name, label, similarity in zip(
                names, index.labels(names), values, strict=False
            )
        ]
        for names, values in zip(ids, similarities, strict=True)
    ]
    return results, _how(stats, exact)


def _how(stats, exact):
    if stats["engine"] == "exact":
        return f"Searched exactly, without ScaNN: {stats['why_exact']}"
    engine = ENGINES[stats["engine"]].title
    if exact:
        return f"Searched with {engine}, every item compared."
    recall = stats["recall"]
    return f"Searched with {engine}, recall@{recall['k']} {recall['value']:.4f}."


def write_results(path, flags, results):
    """Writes the page of queries and what was found, `results` of `search`.

    Each picture needs its own file alone. Returns how many results have none.
    """
    pictures = _pictures(flags)
    # As small as they are shown: together they may be more than the memory holds.
    queries = {name: picture_of_file(name, SIDE) for name in flags.image}

    def caption(found):
        label = "" if found["label"] is None else f"{found['label']}, "
        return f"{label}{found['similarity']:.3f}, {found['id']}"

    def picture(name):
        # An id is what someone called an image, and never a reason to open a file; but
        # for those that are asked for here.
        return pictures.picture(name, SIDE) or queries.get(name)

    shown = [
        [(caption(found), picture(found["id"])) for found in neighbors]
        for neighbors in results
    ]
    write_gallery(path, [(name, queries[name]) for name in flags.image], shown)
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
