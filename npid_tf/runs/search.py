"""Finds the images of an export that are most like others."""

import dataclasses

import numpy as np
import tensorflow as tf

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.data.decode import decode, pixels
from npid_tf.data.shrink import shrink
from npid_tf.errors import UserError
from npid_tf.errors.printable import printable
from npid_tf.reports.html import SIDE, write_gallery
from npid_tf.runs import data
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.saved_models.exported import describe_encoders, embed_files, load_encoder
from npid_tf.search.engines import ENGINES, get_engine

NO_IMAGE = np.zeros([1, 1, 3], np.uint8)


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
    """Writes the page of queries and what was found, `results` of `search`."""
    # As small as they are shown: together they may be more than the memory holds.
    queries = {
        name: shrink(decode(tf.io.read_file(name)), SIDE) for name in flags.image
    }
    write_gallery(
        path,
        [(name, queries[name]) for name in flags.image],
        _captions_and_images(flags.export_dir, queries, results),
    )


def _captions_and_images(export_dir, queries, results):
    _, description = describe_encoders(export_dir)[0]
    source = data.build_source(TrainFlags.of(description["data"]))
    names = source.paths or map(str, range(source.num_instances))
    row_of = {name: row for row, name in enumerate(names)}

    def caption(found):
        label = "" if found["label"] is None else f"{found['label']}, "
        return f"{label}{found['similarity']:.3f}, {found['id']}"

    def image(name):
        if name in row_of:
            try:
                record = tf.convert_to_tensor(source.read(row_of[name]))
                return shrink(pixels(record), SIDE)
            except tf.errors.OpError as error:
                print(f"{printable(name)} is left black: {error.message}")
                return NO_IMAGE
        # An id is what someone called an image, and never a reason to open a file; but
        # for those that are asked for here.
        return queries.get(name, NO_IMAGE)

    return [
        [(caption(found), image(found["id"])) for found in neighbors]
        for neighbors in results
    ]
