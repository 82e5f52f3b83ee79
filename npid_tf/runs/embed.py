"""Writes the embeddings of images: `embed_images(config, EmbedFlags(...))`."""

import dataclasses
import json

import numpy as np

from npid_tf.command_line.fields import Flags, flag
from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.encoders.embed import embed
from npid_tf.encoders.encoder import encoder_hash
from npid_tf.errors import UserError
from npid_tf.files.formats import stamp
from npid_tf.files.whole_files import open_whole
from npid_tf.runs import build, data


@dataclasses.dataclass(frozen=True)
class EmbedFlags(Flags):
    """Which images are embedded, and where to."""

    data: str | None = flag(
        None, "Images to embed: a folder, or what --dataset takes; None: the run's own",
        path=True,
    )  # fmt: skip
    data_split: str = flag("train", "Which of them: a split, as in train[:90%]")
    out: str | None = flag(None, "File to write: .npz", path=True)


@naming_lost_files()
def embed_images(config, flags):
    """Embeds images with the encoder of a run, and writes FILE.npz where `out` says so.

    The file holds `embeddings` (float32 [n, dim]), `ids` (paths, or numbers as text),
    where there are labels `labels` (int64 [n]) and `class_names`, and `about`, a JSON
    text with the encoder's hash.

    Returns the arrays by these names. Raises ValueError where there is no checkpoint,
    the images cannot be read, or `out` ends with another name than .npz.
    """
    if flags.out is not None and not flags.out.endswith(".npz"):
        raise UserError(f"`out` must be a file FILE.npz. Received: {flags.out}.")
    # Made in this scope, the encoder runs on all devices.
    with build_local_strategy(config.strategy).scope():
        encoder = build.load_trained_encoder(config)
        if flags.data is None:
            source = data.build_source(config)
        else:
            source = data.load(flags.data, flags.data_split, config)
        dataset = data.build_eval_dataset(config, source)
        vectors = embed(encoder, dataset, source.num_instances)
    about = {**stamp("embeddings"), "encoder_hash": encoder_hash(encoder)}
    ids = source.paths or range(source.num_instances)
    arrays = {"embeddings": vectors, "ids": np.array([str(name) for name in ids])}
    if source.labels is not None:
        arrays["labels"] = source.labels
    if source.class_names is not None:
        arrays["class_names"] = np.array(source.class_names)
    arrays["about"] = np.array(json.dumps(about))
    if flags.out is not None:
        with open_whole(flags.out, "wb") as file:
            np.savez(file, **arrays)
    return arrays
