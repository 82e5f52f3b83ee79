"""Finds the images most like a query: `python -m npid_tf.search
--export_dir=DIR --image=FILE --k=20`."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from npid_tf.data.decode import decode, pixels
from npid_tf.data.shrink import shrink
from npid_tf.errors import UserError
from npid_tf.errors.printable import printable
from npid_tf.reports.html import SIDE, write_gallery
from npid_tf.runs import build
from npid_tf.runs.command_line import run
from npid_tf.saved_models.exported import describe_encoders, embed_files, load_encoder
from npid_tf.search.live.reader import read_contents
from npid_tf.search.milvus.index import MilvusIndex, check_engine

NO_IMAGE = np.zeros([1, 1, 3], np.uint8)


def search(export_dir, image_paths, k, uri=None):
    """The k most similar items of each image file, of the index as it is now.

    Args:
        uri: of a Milvus that holds the index; None: it is the export's own.

    Returns (results, how): for each file a list of dicts with the keys id, label and
    similarity, the most similar first; and one line on how it was searched.
    Raises ValueError for files that are missing or do not decode, an export without
    index, an index of another encoder, or a k that does not fit.
    """
    if uri is None:
        index = read_contents(os.path.join(export_dir, "index"))
    else:
        _, newest = describe_encoders(export_dir)[0]
        index = MilvusIndex(uri, newest["encoder_hash"])
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
    engine = {"scann": "ScaNN", "milvus": "Milvus"}[stats["engine"]]
    if exact:
        return f"Searched with {engine}, every item compared."
    recall = stats["recall"]
    return f"Searched with {engine}, recall@{recall['k']} {recall['value']:.4f}."


def main(config, arguments):
    image_paths = [*config.image, *arguments]
    if config.export_dir is None or not image_paths:
        raise UserError("Pass --export_dir=DIR and --image=FILE, one or more.")
    check_engine(config.engine, config.uri)
    uri = config.uri if config.engine == "milvus" else None
    results, how = search(config.export_dir, image_paths, min(config.k), uri)
    for path, neighbors in zip(image_paths, results, strict=True):
        print(f"{printable(path)}\n{'id':<40}{'label':<20}{'similarity':>10}")
        for found in neighbors:
            name = printable(found["id"])
            label = "" if found["label"] is None else printable(found["label"])
            print(f"{name:<40}{label:<20}{found['similarity']:>10.4f}")
    print(how)
    if config.gallery is not None:
        # As small as they are shown: together they may be more than the memory holds.
        queries = {
            path: shrink(decode(tf.io.read_file(path)), SIDE) for path in image_paths
        }
        write_gallery(
            config.gallery,
            [(path, queries[path]) for path in image_paths],
            _captions_and_images(config, queries, results),
        )
        print(f"Gallery: {config.gallery}")


def _captions_and_images(config, queries, results):
    _, description = describe_encoders(config.export_dir)[0]
    source = build.build_source(dataclasses.replace(config, **description["data"]))
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


if __name__ == "__main__":
    run(main)
