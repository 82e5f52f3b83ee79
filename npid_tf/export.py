"""Turns a trained run into what serves: `python -m npid_tf.export
--flagfile=WORKDIR/flags.cfg --export_dir=DIR`.

DIR gets encoder/N and neighbors/N (SavedModels of stock ops, a new number N every
time) and index/ (ScaNN).
"""

import os
import shutil

import tensorflow as tf

from npid_tf import build
from npid_tf.command_line import run
from npid_tf.evaluation.embed import embed
from npid_tf.serving.builder import build_index, check_dtype
from npid_tf.serving.index import import_scann
from npid_tf.serving.saved_model import (
    Embedder,
    NeighborFinder,
    encoder_hash,
    save_model,
    write_warmup,
)


def export(config):
    """Writes encoder, neighbors and index of the workdir's newest checkpoint.

    All of it is written into DIR/.partial and then renamed. Returns the manifest of
    the index. Raises ValueError for a workdir without a checkpoint, a k that is more
    than the images, or a recall that no setting reaches; OSError where DIR cannot be
    written; what was there before stays.
    """
    if config.export_dir is None:
        raise ValueError("Where to? Pass --export_dir=DIR.")
    check_dtype(config.index_dtype)
    import_scann()  # Missing ScaNN should be told of now, not after the models.
    source = build.build_source(config)
    k = min(config.k)
    if k > source.num_instances:
        raise ValueError(
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
        _save_models(config, model, vectors, source.labels, k, partial, description)
        index = build_index(
            vectors,
            _ids(source),
            _class_of_each(source),
            k,
            config.recall,
            config.index_dtype,
            _embed_held_out(config, model.encoder),
            **description,
        )
        os.makedirs(os.path.join(partial, "index"))
        index.save(os.path.join(partial, "index"))
        _move_into_place(partial, config.export_dir, version)
    except (OSError, tf.errors.OpError) as error:
        raise OSError(
            f"Could not write the export to {config.export_dir}: "
            f"{getattr(error, 'message', error)}. What was there before is intact."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return index.manifest


def _save_models(config, model, vectors, labels, k, directory, description):
    embedder = Embedder(model.encoder, config.image_size, config.crop_fraction)
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
    finder = NeighborFinder(embedder, vectors, k, labels, config.knn_temperature)
    save_model(
        finder,
        {"serving_default": finder.find},
        os.path.join(directory, "neighbors"),
        description,
    )


def next_version(export_dir):
    """1 + the largest number below DIR/encoder and DIR/neighbors."""
    names = [
        name
        for model in ("encoder", "neighbors")
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
    for model in ("encoder", "neighbors"):
        os.makedirs(os.path.join(export_dir, model), exist_ok=True)
        os.rename(
            os.path.join(partial, model),
            os.path.join(export_dir, model, str(version)),
        )
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
        raise ValueError(f"Unexpected arguments: {' '.join(arguments)}.")
    manifest = export(config)
    settings, recall = manifest["settings"], manifest["recall"]
    print(
        f"Exported to {config.export_dir}: encoder, neighbors, and an index of "
        f"{manifest['n']:,} images ({settings['kind']}, {settings['dtype']}, "
        f"{manifest['bytes'] / 1e6:,.1f} MB, recall@{recall['k']} "
        f"{recall['value']:.4f} over {manifest['queries']})"
    )


if __name__ == "__main__":
    run(main)
