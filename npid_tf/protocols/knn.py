"""kNN accuracy of the embeddings, as in the paper's tables."""

import dataclasses

import tensorflow as tf

from npid_tf.command_line.fields import Flags, choice, flag
from npid_tf.data.sources.source import with_classes_of
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.encoders.embed import embed
from npid_tf.errors import UserError
from npid_tf.evaluation.knn import MISSING_LABELS, knn_accuracy
from npid_tf.protocols.embeddings import embed_all, unit
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import build, data

# Above this many bytes as float32, pixels are not compared with the embeddings.
PIXEL_BYTES = 2 << 30

# As published: the feature, its k values and the temperature of the votes.
PRESETS = {
    # Wu et al. 2018, section 3.4, and the authors' code.
    "paper": ("bank as trained", (200,), 0.07),
    # MMSelfSup's page for NPID; there, crop_fraction is .875.
    "mmselfsup": ("backbone features", (10, 20, 100, 200), 0.07),
}


@dataclasses.dataclass(frozen=True)
class KnnFlags(Flags):
    """Which neighbors vote, and how."""

    k: tuple[int, ...] = flag((10, 20, 100, 200), "Neighbors that vote", at_least=1)
    knn_temperature: float = flag(0.1, "Votes count exp(similarity / this)", above=0)
    knn_preset: str | None = choice(
        PRESETS, None, "kNN as published; None: all features, --k"
    )


def evaluate_knn(config, flags):
    """kNN accuracy of every feature the encoder offers, and of two baselines.

    With a preset, that of its feature, k and temperature alone.

    Returns a list of dicts with the keys feature, k, temperature, top1 and top5. The
    first row of a feature whose k is 1 is its nearest-neighbor accuracy.
    Raises ValueError where labels, images to classify or a checkpoint are missing.
    """
    source = data.build_source_of_rows(config)
    eval_source = data.build_eval_source(config)
    if eval_source is None:
        raise UserError(
            "kNN needs labelled images to classify. Pass --eval_split (a split of "
            "--dataset) or --eval_dataset=folder:DIR with one sub-folder per class."
        )
    if source.labels is None or eval_source.labels is None:
        raise UserError(MISSING_LABELS)
    eval_source = with_classes_of(source, eval_source)
    only, k_values, temperature = _chosen(flags)
    if k_values[-1] > source.num_instances:
        raise UserError(
            f"`k` must be at most the {source.num_instances} training images. "
            f"Received: {k_values[-1]}."
        )
    # Made in this scope, the encoders run on all devices.
    with build_local_strategy(config.strategy).scope():
        model, numbers = build.load_with_rows(config, source)
        train = embed_all(config, model.encoder, source)
        queries = embed_all(config, model.encoder, eval_source)
        pairs = {
            "bank as trained": (
                model.bank.numpy()[numbers],
                queries["refreshed embeddings"],
            ),
            **{feature: (train[feature], queries[feature]) for feature in train},
        }
        if only is None:
            fresh = build.build_fresh_encoder(config)
            pairs["untrained encoder"] = tuple(
                embed_all(config, fresh, images)["refreshed embeddings"]
                for images in (source, eval_source)
            )
    num_images = source.num_instances + eval_source.num_instances
    if only is not None:
        pairs = {only: pairs[only]}
    elif num_images * config.image_size**2 * 3 * 4 <= PIXEL_BYTES:
        pixels, eval_pixels = (
            pixel_vectors(config, source),
            pixel_vectors(config, eval_source),
        )
        mean = pixels.mean(axis=0)
        pairs["raw pixels"] = pixels, eval_pixels
        pairs["raw pixels less their mean"] = pixels - mean, eval_pixels - mean
    else:
        print("Raw pixels are left out: they would not fit in memory.")
    rows = []
    for feature, (vectors, queries) in pairs.items():
        accuracies = knn_accuracy(
            unit(queries),
            eval_source.labels,
            unit(vectors),
            source.labels,
            k_values,
            temperature=temperature,
        )
        for k, accuracy in accuracies.items():
            rows.append(
                {
                    "feature": feature,
                    "k": k,
                    "temperature": temperature,
                    **accuracy,
                }
            )
    return rows


def published(rows):
    """MMSelfSup's table: a column for each k, top-1 in percent."""
    table = {}
    for row in rows:
        scores = table.setdefault(row["feature"], {"feature": row["feature"]})
        scores[f"k={row['k']}"] = f"{100 * row['top1']:.2f}"
    return list(table.values())


def _chosen(flags):
    """(feature or None for all, k values, temperature) of the preset or the flags."""
    if flags.knn_preset is None:
        return None, sorted({1, *flags.k}), flags.knn_temperature
    return PRESETS[flags.knn_preset]


def pixel_vectors(config, source):
    """The pixels of all images, float32 [num_instances, height x width x 3]."""
    dataset = data.build_eval_dataset(config, source)
    return embed(
        lambda images, training: tf.reshape(
            tf.cast(images, tf.float32), [tf.shape(images)[0], -1]
        ),
        dataset,
        source.num_instances,
    )


PROTOCOL = Protocol("knn", evaluate_knn, KnnFlags, published, variant="knn_preset")
