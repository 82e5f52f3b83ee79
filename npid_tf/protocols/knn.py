"""kNN accuracy of the embeddings, as in the paper's tables."""

import numpy as np
import tensorflow as tf

from npid_tf import build
from npid_tf.data.source import check_same_classes
from npid_tf.encoder import with_features
from npid_tf.evaluation.embed import embed
from npid_tf.evaluation.knn import MISSING_LABELS, knn_accuracy
from npid_tf.strategies import build_local_strategy

# Above this many bytes as float32, pixels are not compared with the embeddings.
PIXEL_BYTES = 2 << 30


def evaluate_knn(config):
    """kNN accuracy of every feature the encoder offers, and of two baselines.

    Returns a list of dicts with the keys feature, k, temperature, top1 and top5. The
    first row of a feature whose k is 1 is its nearest-neighbor accuracy.
    Raises ValueError where labels, images to classify or a checkpoint are missing.
    """
    source = build.build_source(config)
    eval_source = build.build_eval_source(config)
    if eval_source is None:
        raise ValueError(
            "kNN needs labelled images to classify. Pass --eval_split (a split of "
            "--dataset) or --eval_dataset=folder:DIR with one sub-folder per class."
        )
    if source.labels is None or eval_source.labels is None:
        raise ValueError(MISSING_LABELS)
    check_same_classes(source, eval_source)
    k_values = sorted({1, *config.k})
    if k_values[-1] > source.num_instances:
        raise ValueError(
            f"`k` must be at most the {source.num_instances} training images. "
            f"Received: {k_values[-1]}."
        )
    data = build.build_eval_dataset(config, source)
    eval_data = build.build_eval_dataset(config, eval_source)

    def embed_both(encoder):
        return (
            embed(encoder, data, source.num_instances),
            embed(encoder, eval_data, eval_source.num_instances),
        )

    # Made in this scope, the encoders run on all devices.
    with build_local_strategy(config.strategy).scope():
        model = build.load_trained(config, source)
        (features, embeddings), (eval_features, eval_embeddings) = embed_both(
            with_features(model.encoder)
        )
        untrained, eval_untrained = embed_both(build.build_fresh_encoder(config))
    pairs = {
        "bank as trained": (model.bank.numpy(), eval_embeddings),
        "refreshed embeddings": (embeddings, eval_embeddings),
        "backbone features": (features, eval_features),
        "untrained encoder": (untrained, eval_untrained),
    }
    num_images = source.num_instances + eval_source.num_instances
    if num_images * config.image_size**2 * 3 * 4 <= PIXEL_BYTES:
        pixels, eval_pixels = embed_both(lambda images, training: _flatten(images))
        mean = pixels.mean(axis=0)
        pairs["raw pixels"] = pixels, eval_pixels
        pairs["raw pixels less their mean"] = pixels - mean, eval_pixels - mean
    else:
        print("Raw pixels are left out: they would not fit in memory.")
    rows = []
    for feature, (vectors, queries) in pairs.items():
        accuracies = knn_accuracy(
            _unit(queries),
            eval_source.labels,
            _unit(vectors),
            source.labels,
            k_values,
            config.knn_temperature,
        )
        for k, accuracy in accuracies.items():
            rows.append(
                {
                    "feature": feature,
                    "k": k,
                    "temperature": config.knn_temperature,
                    **accuracy,
                }
            )
    return rows


def _flatten(images):
    return tf.reshape(tf.cast(images, tf.float32), [tf.shape(images)[0], -1])


def _unit(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)
