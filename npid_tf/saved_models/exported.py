"""Embeddings of image files, by the encoder of an export."""

import os
import typing

import numpy as np
import tensorflow as tf

from npid_tf.data.decode import as_plain, why_not
from npid_tf.data.decoding.rules import Decoding
from npid_tf.errors import FileError, UserError
from npid_tf.saved_models.export_folder import unserved_version
from npid_tf.saved_models.saved_model import (
    REMEDY,
    check_model,
    read_description,
)


class ExportedEncoder(typing.NamedTuple):
    """The signature of an exported encoder that takes the bytes of files, and how it
    decodes them."""

    function: typing.Callable
    decoding: Decoding


def load_encoder(export_dir, encoder_hash):
    """The exported encoder with that hash, the newest: an `ExportedEncoder`.

    Raises ValueError if none of them has it.
    """
    for path, description in describe_encoders(export_dir):
        if description["encoder_hash"] == encoder_hash:
            check_model(path)
            try:
                function = tf.saved_model.load(path).signatures["serving_bytes"]
            except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
                raise FileError(
                    f"{path} does not load as a SavedModel: "
                    f"{getattr(error, 'message', error)} {REMEDY}"
                ) from error
            return ExportedEncoder(function, Decoding.of(description.get("data", {})))
    raise UserError(
        f"The index in {export_dir} was made by another encoder than those in "
        f"{export_dir}/encoder: their similarities would mean nothing. Export again."
    )


def describe_encoders(export_dir):
    """(path, description) of each version of the exported encoder, the newest first.

    One whose export was interrupted does not count. Raises ValueError if there is
    none.
    """
    directory = os.path.join(export_dir, "encoder")
    names = os.listdir(directory) if os.path.isdir(directory) else []
    versions = {int(name) for name in names if name.isdigit()}
    versions = sorted(versions - {unserved_version(export_dir)}, reverse=True)
    if not versions:
        raise UserError(
            f"No encoder in {directory}. Make one with `python -m npid_tf.export`."
        )
    paths = [os.path.join(directory, str(version)) for version in versions]
    return [(path, read_description(path)) for path in paths]


def embed_files(encoder, paths):
    """Embeds the files that can be, and says what is wrong with the others.

    Args:
        encoder: ExportedEncoder.
        paths: of image files; few enough to be in memory at once.

    Returns:
        (embeddings, good, bad): float32 [num_good, dim], the paths embedded, and the
        reason for each other path.
    """
    files, bad = {}, {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                files[path] = as_plain(file.read(), encoder.decoding)
        except OSError as error:
            bad[path] = f"No image file {path}: {error.strerror}."
        except UserError as error:
            bad[path] = f"{path} does not decode: {error}"
    try:
        parts = [_embed(encoder, list(files.values()))]
    except tf.errors.OpError:
        # One that does not decode fails them all: find it.
        parts = []
        for path in list(files):
            try:
                parts.append(_embed(encoder, [files[path]]))
            except tf.errors.OpError as error:
                bad[path] = f"{path} does not decode: {why_not(files[path], error)}"
                del files[path]
    return np.concatenate([_embed(encoder, []), *parts]), list(files), bad


def _embed(encoder, files):
    if not files:
        dim = encoder.function.structured_outputs["embeddings"].shape[1]
        return np.empty([0, dim], np.float32)
    return encoder.function(image_bytes=tf.constant(files))["embeddings"].numpy()
