"""Turns a trained run into what serves: `python -m npid_tf.export
--flagfile=WORKDIR/flags.cfg --export_dir=DIR`.

DIR gets encoder/N and neighbors/N (SavedModels of stock ops, a new number N every
time) and index/ (ScaNN), or Milvus the index; with --scann_saved_model DIR also gets
neighbors_scann/N.
"""

import os

import tensorflow as tf

from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.encoders.embed import embed
from npid_tf.errors import FileError, UserError
from npid_tf.runs import build
from npid_tf.runs.command_line import run
from npid_tf.saved_models.export_folder import new_export
from npid_tf.saved_models.saved_model import (
    Embedder,
    NeighborFinder,
    encoder_hash,
    save_model,
    write_warmup,
)
from npid_tf.saved_models.scann_saved_model import (
    NAMESPACE,
    ScannNeighborFinder,
    check_dtype_of_ops,
)
from npid_tf.search.builder import build_index, check_dtype
from npid_tf.search.index_files import read_ids
from npid_tf.search.live.reader import read_contents
from npid_tf.search.milvus.collection import connect, write_collection
from npid_tf.search.milvus.index import check_engine
from npid_tf.search.scann_index import import_scann


@naming_lost_files()
def export(config):
    """Writes encoder, neighbors and index of the workdir's newest checkpoint.

    All of it is written into DIR/.partial and then renamed (`export_files`). Returns
    the manifest of the index. Raises ValueError for a workdir without a checkpoint, a
    k that is more than the images, or a recall that no setting reaches; OSError where
    DIR cannot be written; what was there before stays.
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
    try:
        with new_export(config.export_dir) as new:
            manifest = _write(config, new, model.encoder, vectors, source)
            new.publish()
    except (OSError, tf.errors.OpError) as error:
        raise FileError(
            f"Could not write the export to {config.export_dir}: "
            f"{getattr(error, 'message', error)}. What was there before is intact."
        ) from error
    return manifest


def _write(config, new, encoder, vectors, source):
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
        },
    }
    k = min(config.k)
    embedder = Embedder(encoder, config.image_size, config.crop_fraction)
    voters = (k, source.labels, config.knn_temperature)
    _save_models(config, embedder, vectors, voters, new.partial, description)
    items = (vectors, _ids(source), _class_of_each(source), k, config.recall)
    held_out = _embed_held_out(config, encoder)
    if config.engine == "milvus":
        manifest = write_collection(config.uri, *items, held_out, **description)
    else:
        index = build_index(*items, config.index_dtype, held_out, **description)
        os.makedirs(os.path.join(new.partial, "index"))
        index.save(os.path.join(new.partial, "index"))
        manifest = index.manifest
    if config.scann_saved_model:
        finder = ScannNeighborFinder(embedder, vectors, manifest, *voters)
        save_model(
            finder,
            {"serving_default": finder.find},
            os.path.join(new.partial, "neighbors_scann"),
            description,
            [NAMESPACE],
        )
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
    source = build.build_eval_source(config)
    if source is None:
        return None
    dataset = build.build_eval_dataset(config, source)
    return embed(encoder, dataset, source.num_instances)


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
        if config.index_dtype != "float32":
            print(
                f"Note: --index_dtype={config.index_dtype} is of ScaNN's index; Milvus "
                "keeps float32."
            )
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
