"""What the protocols that learn from labels start with: images, encoder, vectors."""

import atexit
import dataclasses
import functools
import os
import shutil
import tempfile

from npid_tf.command_line.fields import Flags, flag
from npid_tf.data.sources.source import with_classes_of
from npid_tf.encoders.encoder import encoder_hash
from npid_tf.errors import UserError
from npid_tf.evaluation.features import cached_features, feature_directory
from npid_tf.evaluation.layers import with_layers
from npid_tf.files.run_lock import in_turn
from npid_tf.runs import data

MISSING_LABELS = (
    "--protocol={} needs labels of the images it learns from (--labelled_dataset and "
    "--labelled_split, else --dataset and --split) and of those it judges by "
    "(--eval_dataset, --eval_split). Labels come with digits and tfds, with folder:DIR "
    "where each class is a sub-folder, and with `labels` in npz:FILE."
)


@dataclasses.dataclass(frozen=True)
class LabelledFlags(Flags):
    """The labelled images that a protocol learns from."""

    labelled_dataset: str | None = flag(
        None, "Labelled images to learn from; None: those of --dataset", path=True
    )
    labelled_split: str | None = flag(None, "Split of the images to learn from")


@dataclasses.dataclass(frozen=True)
class LayerFlags(LabelledFlags):
    """The same, and the layers whose vectors are learned from."""

    layers: tuple[str, ...] = flag(
        ("features",),
        "Layers to learn from: conv1 to conv5, features (what the head projects), "
        "embedding",
    )


def labelled_sources(config, flags, protocol):
    """The images to learn from and those to judge by: two sources with labels.

    Raises ValueError where a flag names none, or where a class to judge by has a name
    that none to learn from has.
    """
    return _sources(config, flags, protocol, lambda source: source.labels is not None)


def labelled_targets(config, flags, protocol):
    """The same, where both sources may have `targets` instead of labels."""
    source, eval_source = _sources(
        config,
        flags,
        protocol,
        lambda source: source.labels is not None or source.targets is not None,
    )
    if (source.targets is None) != (eval_source.targets is None):
        raise UserError(
            "The images to learn from and those to judge by must both have `labels`, "
            "or both `targets`."
        )
    return source, eval_source


def _sources(config, flags, protocol, is_labelled):
    source = _source_to_learn(config, flags)
    eval_source = data.build_eval_source(config)
    if eval_source is None or not is_labelled(source) or not is_labelled(eval_source):
        raise UserError(MISSING_LABELS.format(protocol))
    return source, with_classes_of(source, eval_source)


def _source_to_learn(config, flags):
    if flags.labelled_dataset is None and flags.labelled_split is None:
        return data.build_source(config)
    dataset = flags.labelled_dataset or config.dataset
    return data.load(dataset, flags.labelled_split or "train", config)


def count_classes(source, eval_source):
    """How many classes the labels of two sources number."""
    return int(max(source.labels.max(), eval_source.labels.max())) + 1


def layer_vectors(config, encoder, source, names):
    """{name: float32 [num_instances, dim]} of a source's images, from the workdir's
    cache or computed into it. Call it in the scope of a strategy."""
    key = {
        "encoder": encoder_hash(encoder),
        "backbone": config.backbone,
        "width": config.width,
        "head": config.head,
        "head_batch_norm": config.head_batch_norm,
        "embedding_dim": config.embedding_dim,
        "data": source.fingerprint,
        "image_size": config.image_size,
        "crop_fraction": config.crop_fraction,
        "precision": config.precision,
    }
    directory = feature_directory(feature_root(config.workdir), key)
    with in_turn(directory):  # Another evaluation may need the same vectors.
        return cached_features(
            directory,
            names,
            lambda missing: with_layers(encoder, missing),
            lambda first: data.build_eval_dataset(config, source, first),
            source.num_instances,
        )


@functools.cache
def feature_root(workdir):
    """WORKDIR/features, or a folder that ends with this process where the workdir
    cannot be written to."""
    if os.access(workdir, os.W_OK) or not os.path.exists(workdir):
        return os.path.join(workdir, "features")
    print(f"{workdir} cannot be written to: vectors are computed, and not kept.")
    root = tempfile.mkdtemp(prefix="npid_tf-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root
