"""Images in memory: arrays, and files written by `np.savez(images=, labels=)`, or with
`targets=` where an image may have several classes."""

import hashlib
import os
import types
import zipfile

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from npid_tf.data.source import RandomAccess
from npid_tf.errors import UserError


def from_arrays(images, labels=None, class_names=None, name="arrays", targets=None):
    """A source of images in memory.

    Args:
        images: uint8 [num_instances, height, width, channels], channels 1, 3 or 4;
            [num_instances, height, width] is grey.
        labels: integers [num_instances], or None.
        class_names: name of each label, or None.
        name: what the fingerprint calls the data.
        targets: integers [num_instances, num_classes], 1, 0 or -1 (hard to see), where
            an image may have several classes; or None.

    Raises:
        ValueError: for other shapes or dtypes, or no images.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3, 4):
        raise UserError(
            "`images` must be uint8 [num_instances, height, width, 1, 3 or 4]. "
            f"Received: {images.dtype} {list(images.shape)}."
        )
    if not len(images):
        raise UserError(f"{name} holds no images.")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(images),) or not np.issubdtype(
            labels.dtype, np.integer
        ):
            raise UserError(
                f"`labels` must be integers [{len(images)}], one per image. "
                f"Received: {labels.dtype} {list(labels.shape)}."
            )
        labels = labels.astype(np.int64)
    if targets is not None:
        targets = np.asarray(targets)
        is_known = np.isin(targets, (1, 0, -1)).all()
        if targets.ndim != 2 or len(targets) != len(images) or not is_known:
            raise UserError(
                f"`targets` must be 1, 0 or -1, [{len(images)}, num_classes]. "
                f"Received: {targets.dtype} {list(targets.shape)}."
            )
        targets = targets.astype(np.int8)
    channels = [0, 0, 0] if images.shape[3] == 1 else [0, 1, 2]
    with tf.device("CPU:0"):  # A GPU's memory is for the model.
        pixels = tf.constant(images[..., channels])
    return RandomAccess(
        read=lambda index: tf.gather(pixels, index),
        num_instances=len(images),
        fingerprint={
            "name": name,
            "num_instances": len(images),
            "sha256": hashlib.sha256(np.ascontiguousarray(images)).hexdigest(),
        },
        labels=labels,
        class_names=class_names,
        image_shape=images.shape[1:3],
        targets=targets,
    )


def load_npz(path, split):
    """The images of an .npz file with `images` and, optionally, integer `labels` or
    `targets` (see `from_arrays`).

    split: `train`, or a part of it as in `train[:80%]`.
    """
    if not os.path.isfile(path):
        raise UserError(f"No file {path}. Expected an .npz file with `images`.")
    try:
        with np.lib.npyio.NpzFile(path) as arrays:
            images = arrays["images"]
            labels, targets = (
                arrays[name] if name in arrays.files else None
                for name in ("labels", "targets")
            )
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} must be an .npz file with an array `images` and, optionally, "
            f"`labels` or `targets`. Received: {error}"
        ) from error
    for name, values in (("labels", labels), ("targets", targets)):
        if values is not None and values.shape[:1] != images.shape[:1]:
            raise UserError(
                f"{path} must hold one {name[:-1]} per image. Received: `images` "
                f"{list(images.shape)}, `{name}` {list(values.shape)}."
            )
    chosen = split_indices({"train": len(images)}, split)["train"]
    return from_arrays(
        images[chosen],
        None if labels is None else labels[chosen],
        name=os.path.basename(path),
        targets=None if targets is None else targets[chosen],
    )


def split_indices(num_examples, split):
    """Slices that a split such as `train[:80%]` takes of each named part.

    num_examples: {name: count}. Returns {name: slice}, with one name.
    Raises ValueError for an unknown name, with the known ones, and for an empty part.
    """
    # TFDS asks only these of its own SplitInfo.
    infos = {
        name: types.SimpleNamespace(num_examples=count, shard_lengths=[count])
        for name, count in num_examples.items()
    }
    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(infos)
    except ValueError as error:
        raise UserError(
            f"Unknown split {split!r}. Known: {', '.join(num_examples)}, and parts of "
            "them such as train[:80%]."
        ) from error
    if len(parts) != 1:
        raise UserError(f"`split` must name one part. Received: {split!r}.")
    part = slice(parts[0].from_, parts[0].to)
    if not len(range(num_examples[parts[0].splitname])[part]):
        raise UserError(f"Split {split!r} holds no images.")
    return {parts[0].splitname: part}
