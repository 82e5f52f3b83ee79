"""Embeddings of image files, by the encoder of an export."""

import os

import tensorflow as tf

from npid_tf.serving.saved_model import read_description


def load_encoder(export_dir, encoder_hash):
    """The exported encoder with that hash, the newest: from files' bytes to embeddings.

    Raises ValueError where none of them has it.
    """
    directory = os.path.join(export_dir, "encoder")
    names = os.listdir(directory) if os.path.isdir(directory) else []
    versions = sorted(int(name) for name in names if name.isdigit())
    for version in reversed(versions):
        path = os.path.join(directory, str(version))
        if read_description(path)["encoder_hash"] == encoder_hash:
            return tf.saved_model.load(path).signatures["serving_bytes"]
    raise ValueError(
        f"The index in {export_dir} was made by another encoder than those in "
        f"{directory}: their similarities would mean nothing. Export again."
    )


def embed_files(encoder, paths):
    """Embeds the files that can be, and says what is wrong with the others.

    Args:
        encoder: of `load_encoder`.
        paths: of image files; few enough to be in memory at once.

    Returns:
        (embeddings, good, bad): float32 [num_good, dim], the paths embedded, and the
        reason for each other path.
    """
    files, bad = {}, {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                files[path] = file.read()
        except OSError as error:
            bad[path] = f"No image file {path}: {error.strerror}."
    try:
        embeddings = _embed(encoder, list(files.values()))
    except tf.errors.OpError:
        # One that does not decode fails them all: find it.
        parts = []
        for path in list(files):
            try:
                parts.append(_embed(encoder, [files[path]]))
            except tf.errors.OpError:
                bad[path] = f"{path} does not decode as JPEG, PNG, BMP or GIF."
                del files[path]
        embeddings = tf.concat(parts, axis=0) if parts else _embed(encoder, [])
    return embeddings.numpy(), list(files), bad


def _embed(encoder, files):
    return encoder(image_bytes=tf.constant(files, tf.string, [len(files)]))[
        "embeddings"
    ]
