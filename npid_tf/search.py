"""Finds the training images most like a query: `python -m npid_tf.search
--export_dir=DIR --image=FILE --k=20`."""

import dataclasses
import os

import tensorflow as tf

from npid_tf import build
from npid_tf.command_line import run
from npid_tf.data.decode import decode, pixels
from npid_tf.serving.gallery import write_gallery
from npid_tf.serving.index import load_index
from npid_tf.serving.saved_model import read_description


def search(export_dir, image_paths, k):
    """The k most similar training images of each image file.

    Returns a list, for each file, of dicts with the keys row, id, label and
    similarity, the most similar first.
    Raises ValueError for files that are missing or do not decode, an export without
    index, an index of another encoder, or a k that does not fit.
    """
    index = load_index(os.path.join(export_dir, "index"))
    encoder = load_encoder_of(export_dir, index)
    embeddings = tf.concat([_embed(encoder, path) for path in image_paths], axis=0)
    rows, similarities = index.search(embeddings.numpy(), k)
    return [
        [
            {
                "row": int(row),
                "id": index.ids[row],
                "label": index.labels[row] if index.labels else None,
                "similarity": float(similarity),
            }
            for row, similarity in zip(*found, strict=True)
            if row >= 0
        ]
        for found in zip(rows, similarities, strict=True)
    ]


def load_encoder_of(export_dir, index):
    """The newest exported encoder, if it is the one that made the index.

    Raises ValueError otherwise.
    """
    directory = os.path.join(export_dir, "encoder")
    names = os.listdir(directory) if os.path.isdir(directory) else []
    versions = sorted(int(name) for name in names if name.isdigit())
    for version in reversed(versions):
        path = os.path.join(directory, str(version))
        if read_description(path)["encoder_hash"] == index.manifest["encoder_hash"]:
            return tf.saved_model.load(path).signatures["serving_bytes"]
    raise ValueError(
        f"The index in {export_dir} was made by another encoder than those in "
        f"{directory}: their similarities would mean nothing. Export again."
    )


def _embed(encoder, path):
    if not os.path.isfile(path):
        raise ValueError(f"No image file {path}.")
    try:
        return encoder(image_bytes=tf.io.read_file(path)[None])["embeddings"]
    except tf.errors.OpError as error:
        raise ValueError(f"{path} does not decode as JPEG, PNG, BMP or GIF.") from error


def main(config, arguments):
    image_paths = [*config.image, *arguments]
    if config.export_dir is None or not image_paths:
        raise ValueError("Pass --export_dir=DIR and --image=FILE, one or more.")
    k = min(config.k)
    results = search(config.export_dir, image_paths, k)
    for path, neighbors in zip(image_paths, results, strict=True):
        print(f"{path}\n{'id':<40}{'label':<20}{'similarity':>10}")
        for found in neighbors:
            label = "" if found["label"] is None else found["label"]
            print(f"{found['id']!s:<40}{label:<20}{found['similarity']:>10.4f}")
    if config.gallery is not None:
        write_gallery(
            config.gallery,
            [(path, decode(tf.io.read_file(path))) for path in image_paths],
            _captions_and_images(config, results),
        )
        print(f"Gallery: {config.gallery}")


def _captions_and_images(config, results):
    index = load_index(os.path.join(config.export_dir, "index"))
    source = build.build_source(dataclasses.replace(config, **index.manifest["data"]))

    def caption(found):
        label = "" if found["label"] is None else f"{found['label']}, "
        return f"{label}{found['similarity']:.3f}, {found['id']}"

    return [
        [
            (caption(found), pixels(tf.convert_to_tensor(source.read(found["row"]))))
            for found in neighbors
        ]
        for neighbors in results
    ]


if __name__ == "__main__":
    run(main)
