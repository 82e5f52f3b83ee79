"""Turns a trained run into what serves: `python -m npid_tf.export
--flagfile=WORKDIR/flags.cfg --export_dir=DIR`.

DIR gets encoder/N and neighbors/N (SavedModels of stock ops, a new number N every
time) and index/ (ScaNN), or Milvus the index; with --scann_saved_model DIR also gets
neighbors_scann/N.
"""

import os
import shutil

import tensorflow as tf

from npid_tf import build
from npid_tf.command_line import run
from npid_tf.errors import FileError, UserError
from npid_tf.evaluation.embed import embed
from npid_tf.serving.builder import build_index, check_dtype
from npid_tf.serving.index import import_scann, read_ids
from npid_tf.serving.live_files import read_contents
from npid_tf.serving.milvus_collection import connect, write_collection
from npid_tf.serving.milvus_index import check_engine
from npid_tf.serving.saved_model import (
    Embedder,
    NeighborFinder,
    encoder_hash,
    save_model,
    write_warmup,
)
from npid_tf.serving.scann_saved_model import (
    NAMESPACE,
    ScannNeighborFinder,
    check_dtype_of_ops,
)

MODELS = ("encoder", "neighbors", "neighbors_scann")


def export(config):
    """Writes encoder, neighbors and index of the workdir's newest checkpoint.

    All of it is written into DIR/.partial and then renamed. Returns the manifest of
    the index. Raises ValueError for a workdir without a checkpoint, a k that is more
    than the images, or a recall that no setting reaches; OSError where DIR cannot be
    written; what was there before stays.
    """
    if config.export_dir is None:
        raise UserError("Where to? Pass --export_dir=DIR.")
    check_dtype(config.index_dtype)
    check_engine(config.engine, config.uri)
    # What is missing should be told of now, not after the models.
    if config.engine == "milvus":
        connect(config.uri).close()
    else:
        import_scann()
    if config.scann_saved_model:
        _check_scann_saved_model(config)
    source = build.build_source(config)
    k = min(config.k)
    if k > source.num_instances:
        raise UserError(
            f"`k` must be at most the {source.num_instances} training images. "
            f"Received: {k}."
        )
    model = build.load_trained(config, source)
    vectors = embed(
        model.encoder, build.build_eval_dataset(config, source), source.num_instances
    )
    version = next_version(config.export_dir)
    partial = os.path.join(config.export_dir, ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        os.makedirs(partial)
        description = {
            "encoder_hash": encoder_hash(model.encoder),
            "data": {
                "workdir": config.workdir,
                "dataset": config.dataset,
                "data_dir": config.data_dir,
                "split": config.split,
                "skip_corrupt": config.skip_corrupt,
            },
        }
        embedder = Embedder(model.encoder, config.image_size, config.crop_fraction)
        voters = (k, source.labels, config.knn_temperature)
        _save_models(config, embedder, vectors, voters, partial, description)
        items = (vectors, _ids(source), _class_of_each(source), k, config.recall)
        held_out = _embed_held_out(config, model.encoder)
        if config.engine == "milvus":
            manifest = write_collection(config.uri, *items, held_out, **description)
        else:
            index = build_index(*items, config.index_dtype, held_out, **description)
            os.makedirs(os.path.join(partial, "index"))
            index.save(os.path.join(partial, "index"))
            manifest = index.manifest
        if config.scann_saved_model:
            finder = ScannNeighborFinder(embedder, vectors, manifest, *voters)
            save_model(
                finder,
                {"serving_default": finder.find},
                os.path.join(partial, "neighbors_scann"),
                description,
                [NAMESPACE],
            )
        _move_into_place(partial, config.export_dir, version)
    except (OSError, tf.errors.OpError) as error:
        raise FileError(
            f"Could not write the export to {config.export_dir}: "
            f"{getattr(error, 'message', error)}. What was there before is intact."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _check_scann_saved_model(config):
    check_dtype_of_ops(config.index_dtype)
    if config.engine != "scann":
        raise UserError(
            "--scann_saved_model takes the settings of ScaNN's index. Received: "
            f"--engine={config.engine}."
        )


def _save_models(config, embedder, vectors, voters, directory, description):
    encoder_directory = os.path.join(directory, "encoder")
    save_model(
        embedder,
        {
            "serving_default": embedder.embed_images,
            "serving_bytes": embedder.embed_bytes,
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


def next_version(export_dir):
    """1 + the largest number below DIR/encoder and the other models."""
    names = [
        name
        for model in MODELS
        if os.path.isdir(os.path.join(export_dir, model))
        for name in os.listdir(os.path.join(export_dir, model))
    ]
    return max((int(name) for name in names if name.isdigit()), default=0) + 1


def _embed_held_out(config, encoder):
    """Embeddings of the images that kNN classifies, or None where no flag names any."""
    source = build.build_eval_source(config)
    if source is None:
        return None
    dataset = build.build_eval_dataset(config, source)
    return embed(encoder, dataset, source.num_instances)


def _move_into_place(partial, export_dir, version):
    for model in MODELS:
        if not os.path.exists(os.path.join(partial, model)):
            continue
        os.makedirs(os.path.join(export_dir, model), exist_ok=True)
        os.rename(
            os.path.join(partial, model),
            os.path.join(export_dir, model, str(version)),
        )
    if not os.path.exists(os.path.join(partial, "index")):
        return
    index, old = os.path.join(export_dir, "index"), os.path.join(partial, "old")
    if os.path.exists(index):
        os.rename(index, old)
    try:
        os.rename(os.path.join(partial, "index"), index)
    except OSError:
        os.rename(old, index)
        raise


def _ids(source):
    return source.paths or list(range(source.num_instances))


def _class_of_each(source):
    if source.labels is None:
        return None
    if source.class_names is None:
        return [str(label) for label in source.labels]
    return [source.class_names[label] for label in source.labels]


def main(config, arguments):
    if arguments:
        raise UserError(f"Unexpected arguments: {' '.join(arguments)}.")
    manifest = export(config)
    settings, recall = manifest["settings"], manifest["recall"]
    if config.engine == "milvus":
        where = f"in Milvus at {config.uri} ({settings['kind']}"
    else:
        where = f"({settings['kind']}, {settings['dtype']}, "
        where += f"{manifest['bytes'] / 1e6:,.1f} MB"
    print(
        f"Exported to {config.export_dir}: encoder, neighbors, and an index of "
        f"{manifest['n']:,} images {where}, recall@{recall['k']} "
        f"{recall['value']:.4f} over {manifest['queries']})"
    )
    if config.engine == "scann":
        _tell_of_changes(os.path.join(config.export_dir, "index"))


def _tell_of_changes(index_dir):
    """Says so where the index that was replaced had been changed since its export."""
    try:
        items = set(read_contents(index_dir).ids())
    except ValueError as error:
        print(f"Note: {error}")
        return
    exported = set(map(str, read_ids(index_dir)[0]))
    if items != exported:
        print(
            "Note: the changes to the earlier export of this encoder carry over, "
            f"{len(items - exported):,} images added and {len(exported - items):,} "
            "removed."
        )


if __name__ == "__main__":
    run(main)
