"""Turns a trained run into what serves: `export(config, ExportFlags(...))`.

DIR gets encoder/N and neighbors/N (SavedModels of stock ops, a new number N every
time) and index/ (ScaNN), or Milvus the index; with --scann_saved_model DIR also gets
neighbors_scann/N.
"""

import dataclasses
import os
import time

import tensorflow as tf

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.data.decoding.rules import Decoding
from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.encoders.embed import embed
from npid_tf.encoders.encoder import encoder_hash
from npid_tf.errors import FileError, UserError
from npid_tf.pictures.exported import describe_pictures, write_digests
from npid_tf.pictures.pictures import begin_pictures
from npid_tf.runs import build, data
from npid_tf.saved_models.export_folder import new_export
from npid_tf.saved_models.saved_model import (
    Embedder,
    NeighborFinder,
    save_model,
    write_warmup,
)
from npid_tf.saved_models.scann_saved_model import (
    NAMESPACE,
    ScannNeighborFinder,
    check_dtype_of_ops,
)
from npid_tf.search.builder import DTYPES
from npid_tf.search.engines import ENGINES, Items, get_engine


@dataclasses.dataclass(frozen=True)
class ExportFlags(Flags):
    """What is exported, and where to."""

    export_dir: str | None = flag(
        None, "Folder of the exported models and index", path=True
    )
    k: tuple[int, ...] = flag(
        (10, 20, 100, 200), "Neighbors that vote, and that the index finds: the least",
        at_least=1,
    )  # fmt: skip
    knn_temperature: float = flag(
        0.1, "kNN votes count exp(similarity / this)", above=0
    )
    recall: float = flag(
        0.95, "Part of the true k nearest that the index must find", above=0, at_most=1
    )
    index_dtype: str = choice(DTYPES, "float32", "What the index keeps vectors as")
    scann_saved_model: bool = flag(
        False, "Also a SavedModel that searches with ScaNN's ops"
    )
    engine: str = choice(ENGINES, "scann", "What searches: the index of DIR, or Milvus")
    uri: str | None = flag(
        None, "milvus: http://HOST:19530, or the file of a Milvus Lite", path=True,
        only_with={"engine": ("milvus",)},
    )  # fmt: skip


@naming_lost_files()
def export(config, flags):
    """Writes encoder, neighbors and index of the workdir's newest checkpoint.

    All of it is written into DIR/.partial and then renamed (`export_files`). Returns
    the manifest of the index. Raises ValueError for a workdir without a checkpoint, a
    k that is more than the images, or a recall that no setting reaches; OSError where
    DIR cannot be written; what was there before stays.
    """
    if flags.export_dir is None:
        raise UserError("`export_dir` is required. Pass --export_dir=DIR.")
    flags.refuse_ignored()
    engine = get_engine(flags.engine, flags.uri)
    engine.check_write(flags.uri)  # Now, and not after the models.
    if flags.scann_saved_model:
        _check_scann_saved_model(flags)
    started = time.time()
    source = data.build_source(config)
    k = min(flags.k)
    if k > source.num_instances:
        raise UserError(
            f"`k` must be at most the {source.num_instances} training images. "
            f"Received: {k}."
        )
    encoder = build.load_trained_encoder(config)
    vectors = embed(
        encoder, data.build_eval_dataset(config, source), source.num_instances
    )
    try:
        with new_export(flags.export_dir) as new:
            manifest = _write(config, flags, new, encoder, vectors, source, started)
            new.publish()
        if flags.engine == "milvus":
            begin_pictures(flags.export_dir, manifest, _ids(source))
    except (OSError, tf.errors.OpError) as error:
        raise FileError(
            f"Could not write the export to {flags.export_dir}: "
            f"{getattr(error, 'message', error)}. What was there before is intact."
        ) from error
    return manifest


def _write(config, flags, new, encoder, vectors, source, started):
    """Writes all but what goes to Milvus into `new.partial`; returns the manifest."""
    description = {
        "version": new.version,
        "encoder_hash": encoder_hash(encoder),
        "data": {
            "workdir": config.workdir,
            "dataset": config.dataset,
            "data_dir": config.data_dir,
            "split": config.split,
            "skip_corrupt": config.skip_corrupt,
            "background": config.background,
            "intensity": config.intensity,
        },
        "pictures": describe_pictures(source.paths, started),
    }
    k = min(flags.k)
    decoding = Decoding(config.background, config.intensity)
    embedder = Embedder(encoder, config.image_size, config.crop_fraction, decoding)
    voters = (k, source.labels, flags.knn_temperature)
    _save_models(config, embedder, vectors, voters, new.partial, description)
    items = Items(
        vectors=vectors,
        ids=_ids(source),
        labels=_class_of_each(source),
        k=k,
        recall=flags.recall,
        queries=_embed_held_out(config, encoder),
        dtype=flags.index_dtype,
    )
    engine = get_engine(flags.engine, flags.uri)
    manifest = engine.write(new.partial, flags.uri, items, description)
    if source.manifest is not None and os.path.isdir(f"{new.partial}/index"):
        digests = source.manifest["contents"].values()
        write_digests(
            f"{new.partial}/index", dict(zip(items.ids, digests, strict=True))
        )
    if flags.scann_saved_model:
        finder = ScannNeighborFinder(embedder, vectors, manifest, *voters)
        save_model(
            finder,
            {"serving_default": finder.find},
            os.path.join(new.partial, "neighbors_scann"),
            description,
            [NAMESPACE],
        )
    return manifest


def _check_scann_saved_model(flags):
    check_dtype_of_ops(flags.index_dtype)
    if flags.engine != "scann":
        raise UserError(
            "--scann_saved_model takes the settings of ScaNN's index. Received: "
            f"--engine={flags.engine}."
        )


def _save_models(config, embedder, vectors, voters, directory, description):
    encoder_directory = os.path.join(directory, "encoder")
    save_model(
        embedder,
        {
            "serving_default": embedder.embed_images,
            "serving_bytes": embedder.embed_bytes,
            "serving_resized": embedder.embed_resized(),
        },
        encoder_directory,
        description,
    )
    try:
        write_warmup(encoder_directory, "encoder", config.image_size)
    except ImportError as error:
        print(f"No warm-up record: {error}")
    finder = NeighborFinder(embedder, vectors, *voters)
    save_model(
        finder,
        {"serving_default": finder.find},
        os.path.join(directory, "neighbors"),
        description,
    )


def _embed_held_out(config, encoder):
    """Embeddings of the images that kNN classifies, or None where no flag names any."""
    source = data.build_eval_source(config)
    if source is None:
        return None
    dataset = data.build_eval_dataset(config, source)
    return embed(encoder, dataset, source.num_instances)


def _ids(source):
    return source.paths or list(range(source.num_instances))


def _class_of_each(source):
    if source.labels is None:
        return None
    if source.class_names is None:
        return [str(label) for label in source.labels]
    return [source.class_names[label] for label in source.labels]
