"""Writes the embeddings of images: `embed_to_file(config, EmbedFlags(...))`."""

import dataclasses
import os
import typing

import numpy as np
import tensorflow as tf

from npid_tf.command_line.fields import Flags, flag
from npid_tf.data.sources.places.listing import UNDECODED, LeftOut, write_left_out
from npid_tf.data.sources.subset import subset
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.encoders.embed import embed_batches
from npid_tf.encoders.encoder import encoder_hash
from npid_tf.errors import UserError
from npid_tf.files.formats import stamp
from npid_tf.runs import build, data
from npid_tf.vector_files import FORMATS, Vectors, get_format
from npid_tf.vector_files.format import digest_of_ids
from npid_tf.vector_files.growing import growing_rows

UNREAD = "images that could not be read when their turn came"
MOST_REASONS = 100  # files that are looked at again, to say what is wrong with them


@dataclasses.dataclass(frozen=True)
class EmbedFlags(Flags):
    """Which images are embedded, and where to."""

    data: str | None = flag(
        None, "Images to embed: a folder, or what --dataset takes; None: the run's own",
        path=True,
    )  # fmt: skip
    data_split: str = flag("train", "Which of them: a split, as in train[:90%]")
    out: str | None = flag(
        None, f"File to write: {', '.join(f'FILE{end}' for end in FORMATS)}", path=True
    )


class Written(typing.NamedTuple):
    """What was written: how many embeddings of how many numbers, and {path of each
    image that cannot be read and is missing: why}."""

    count: int
    dim: int
    left_out: dict


def embed_to_file(config, flags):
    """Embeds images with the encoder of a run, and writes the file `out`.

    What is computed is kept in OUT.parts/ until the file is there: a run that was
    killed goes on from there. Images that cannot be read are left out, and listed in
    OUT.left_out.csv, with what else of the place is no image. Memory grows with the ids
    and labels alone.

    Returns `Written`. Raises ValueError where there is no checkpoint, the images cannot
    be listed, none can be read, or `out` ends with an unknown name.
    """
    if flags.out is None:
        raise UserError("`out` is required. Pass --out=FILE.npz.")
    format = get_format(flags.out)
    with build_local_strategy(config.strategy).scope():
        encoder, source, about = _load(config, flags)
        ids = _ids(source)
        key = {
            "encoder": about["encoder_hash"],
            "image_size": config.image_size,
            "crop_fraction": config.crop_fraction,
            "precision": config.precision,
            "data": source.fingerprint,
            "ids": digest_of_ids(ids),
        }
        dim = encoder.output.shape[1]
        with growing_rows(flags.out, len(ids), dim, key) as growing:
            if growing.done:
                print(f"Going on after {growing.done:,} of {len(ids):,} images.")
            for rows, embeddings in _embed(config, encoder, source, growing.done):
                growing.write(rows, embeddings)
            growing.finish()
            unread = _unread(config, source, ids, growing.left_out)
            kept = growing.kept()
            _check_some(len(kept), unread)
            format.write(
                flags.out, _vectors(source, ids, kept, growing.left_out, about)
            )
    _write_left_out(f"{flags.out}.left_out.csv", [*source.left_out, *unread])
    return Written(*kept.shape, _reasons(source, unread))


def embed_images(config, flags):
    """`Vectors` of images by the encoder of a run, in memory, and {id: why} of those
    that cannot be read and are missing. Raises ValueError as `embed_to_file`."""
    with build_local_strategy(config.strategy).scope():
        encoder, source, about = _load(config, flags)
        ids = _ids(source)
        embeddings = np.empty([len(ids), encoder.output.shape[1]], np.float32)
        is_there = np.zeros(len(ids), bool)
        for rows, some in _embed(config, encoder, source):
            embeddings[rows] = some
            is_there[rows] = True
        missing = np.flatnonzero(~is_there).tolist()
        unread = _unread(config, source, ids, missing)
    _check_some(is_there.sum(), unread)
    embeddings = embeddings if is_there.all() else embeddings[is_there]
    vectors = _vectors(source, ids, embeddings, missing, about)
    return vectors, _reasons(source, unread)


def _load(config, flags):
    """(encoder, source, about). Made in the scope of a strategy, the encoder runs on
    all devices."""
    encoder = build.load_trained_encoder(config)
    if flags.data is None:
        source = data.build_source(config)
    else:
        source = data.load(flags.data, flags.data_split, config)
        source.keep()  # The files are not read once more to go on where it stopped.
    about = {**stamp("embeddings"), "encoder_hash": encoder_hash(encoder)}
    return encoder, source, about


def _embed(config, encoder, source, first=0):
    """Yields (rows ascending, their embeddings) of images from `first` on; images that
    cannot be read are passed over."""
    count = source.num_instances - first
    if not count:
        return
    dataset = data.build_eval_dataset(config, source, first, leave_out=True)
    for indices, (outputs,) in embed_batches(encoder, dataset, count):
        # The last batches are filled up with the first images.
        rows, order = np.unique(indices, return_index=True)
        is_new = rows >= first
        rows, order = rows[is_new], order[is_new]
        if len(rows):
            yield rows, outputs[order]
            first = int(rows[-1]) + 1


def _vectors(source, ids, embeddings, missing, about):
    labels = source.labels
    if missing:
        gone = set(missing)
        ids = [name for row, name in enumerate(ids) if row not in gone]
        labels = None if labels is None else np.delete(labels, missing)
    return Vectors(embeddings, ids, labels, source.class_names, about)


def _ids(source):
    return [str(name) for name in source.paths or range(source.num_instances)]


def _unread(config, source, ids, rows):
    """`LeftOut` of each image that could not be read when its turn came."""
    reasons = {row: "" for row in rows}
    for row in rows[:MOST_REASONS]:
        try:
            for _ in data.build_eval_dataset(config, subset(source, np.array([row]))):
                reasons[row] = "could not be read, and now can"
        except tf.errors.OpError as error:
            # Without what TensorFlow says of its own graph.
            reasons[row] = error.message.splitlines()[0].rpartition("}} ")[2]
    return [LeftOut(ids[row], UNREAD, reason) for row, reason in reasons.items()]


def _reasons(source, unread):
    """{path: why} of images that cannot be read, found when they were listed or later.

    What is no image (hidden, of another kind) is not missing.
    """
    listed = [each for each in source.left_out if each.kind == UNDECODED]
    return {each.path: each.detail for each in [*listed, *unread]}


def _check_some(count, unread):
    if not count:
        name, _, reason = unread[0]
        raise UserError(f"None of the images can be read. {name}: {reason}")


def _write_left_out(path, left_out):
    """The list of what is not in the file; none where all is."""
    if left_out:
        write_left_out(path, left_out)
    elif os.path.exists(path):  # Of an earlier one.
        os.remove(path)
