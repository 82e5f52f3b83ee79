"""Embeddings of a trained run's images, in as many of its own views as asked."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from npid_tf.checkpoints.position import Position
from npid_tf.encoders.embed import embed
from npid_tf.runs import build, data
from npid_tf.runs.train_flags import TrainFlags
from npid_tf.runs.workdir import read_run

BATCH_SIZE = 250


def load_or_embed(workdir, num_vectors, cache):
    """Views of the training images, and the images held out, embedded.

    Args:
        workdir: of a trained run with an --eval_split or --eval_dataset.
        num_vectors: views; whole passes over the data follow one another.
        cache: .npz file that keeps both; it is made where it is missing.

    Returns:
        (vectors, queries): float32 [num_vectors, dim] and [num_held_out, dim], unit
        length. Every query is an image as it is, of none of which there is a view.
    """
    if not os.path.exists(cache):
        vectors, queries = _embed_both(workdir, num_vectors)
        np.savez(f"{cache}.partial.npz", vectors=vectors, queries=queries)
        os.replace(f"{cache}.partial.npz", cache)
    with np.load(cache) as arrays:
        vectors, queries = arrays["vectors"], arrays["queries"]
    if len(vectors) < num_vectors:
        raise ValueError(
            f"{cache} holds {len(vectors)} vectors. Received: "
            f"num_vectors={num_vectors}. Remove it, or name another --cache."
        )
    return vectors[:num_vectors], queries


def _embed_both(workdir, num_vectors):
    config = read_config(workdir)
    source, held_out = data.build_source(config), data.build_eval_source(config)
    encoder = build.load_trained(config, source).encoder
    queries = embed(
        encoder, data.build_eval_dataset(config, held_out), held_out.num_instances
    )
    batch_size = min(BATCH_SIZE, source.num_instances)
    per_epoch = source.num_instances // batch_size * batch_size
    epochs = -(-num_vectors // per_epoch)
    views = data.build_train_dataset(
        dataclasses.replace(config, epochs=epochs, batch_size=batch_size),
        source,
        Position(),
        tf.distribute.get_strategy(),
    )
    # Numbered as they come: an image has a view in every epoch, so its own number
    # would not tell them apart.
    numbered = views.enumerate().map(
        lambda step, batch: (batch[0], step * batch_size + np.arange(batch_size))
    )
    return embed(encoder, numbered, epochs * per_epoch)[:num_vectors], queries


def read_config(workdir):
    """The flags of the run in `workdir`."""
    return TrainFlags.of({**read_run(workdir), "workdir": workdir})
