"""What a trained encoder makes of the images of a run, for the protocols."""

import dataclasses

import numpy as np

from npid_tf.data.augmentation.augment import build_augmentation
from npid_tf.data.pipeline import make_train_dataset
from npid_tf.data.sources.subset import subset
from npid_tf.distribution.strategies import build_local_strategy
from npid_tf.encoders.embed import embed
from npid_tf.encoders.encoder import with_features
from npid_tf.protocols.labelled import layer_vectors
from npid_tf.runs import build

VIEWS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class EmbeddedRun:
    """Vectors, float32 [images, dim], by the name of the feature; all unit length.

    train: of all training images; held_out: of the images to classify, or None;
    views: of the training images `viewed`, all first views, all second views, ...
    """

    train: dict
    held_out: dict | None
    viewed: np.ndarray
    views: dict


def embed_run(config, source, eval_source, num_viewed, num_views):
    """Embeds the images of a run, and random views of a seeded sample of them.

    The views are of the augmentation and the seed of the run, as of the epochs after
    its last one: training has seen none of them.

    Args:
        source, eval_source: of the images; eval_source may be None. Those of the
            source must have rows.
        num_viewed: images of the sample, at most: it consists of whole batches.
        num_views: of each image of the sample.

    Raises:
        ValueError: where no checkpoint is in the workdir.
    """
    # Made in this scope, the encoder runs on all devices.
    with build_local_strategy(config.strategy).scope():
        model, rows = build.load_with_rows(config, source)
        encoder = model.encoder
        train = embed_all(config, encoder, source)
        held_out = eval_source and embed_all(config, encoder, eval_source)
        num_viewed = min(num_viewed, source.num_instances)
        batch_size = min(VIEWS_AT_ONCE, num_viewed)
        viewed = sample_images(
            source.num_instances, num_viewed // batch_size * batch_size, config.seed
        )
        dataset = _view_dataset(config, subset(source, viewed), batch_size, num_views)
        views = _by_name(
            *embed(with_features(encoder), dataset, num_views * len(viewed))
        )
    train = {"bank as trained": unit(model.bank.numpy()[rows]), **train}
    for queries in filter(None, (held_out, views)):
        # What the bank is searched with.
        queries["bank as trained"] = queries["refreshed embeddings"]
    return EmbeddedRun(train, held_out, viewed, views)


def embed_all(config, encoder, source):
    """Vectors of all images of a source, by feature, see `EmbeddedRun`; those that the
    workdir's cache holds are not computed again."""
    vectors = layer_vectors(config, encoder, source, ("features", "embedding"))
    return _by_name(vectors["features"], vectors["embedding"])


def has_labels(source):
    """Whether there is a source, and its images have labels."""
    return source is not None and source.labels is not None


def sample_images(num_instances, num_sampled, seed):
    """Sorted indices of a seeded sample, or of all images if they are no more."""
    if num_sampled >= num_instances:
        return np.arange(num_instances)
    random = np.random.default_rng(seed)
    return np.sort(random.choice(num_instances, num_sampled, replace=False))


def unit(vectors):
    """The vectors [num_vectors, dim] at unit length; those of zeros stay so."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)


def _by_name(features, embeddings):
    return {"refreshed embeddings": embeddings, "backbone features": unit(features)}


def _view_dataset(config, source, batch_size, num_views):
    """Views of all images, numbered: all first views, all second views, ..."""
    dataset = make_train_dataset(
        source,
        build_augmentation(config.augmentation, jitter=config.jitter),
        config.image_size,
        batch_size,
        config.seed,
        num_epochs=config.epochs + num_views,
        first_epoch=config.epochs,
        crop_fraction=config.crop_fraction,
    )

    def number(step, batch):
        images, indices = batch
        view = step * batch_size // source.num_instances
        return images, view * source.num_instances + indices

    return dataset.enumerate().map(number)
