"""Images in memory: arrays, and files written by `np.savez(images=, labels=)`, or with
`targets=` if an image may have several classes."""

import hashlib
import os
import zipfile

import numpy as np
import tensorflow as tf

from npid_tf.data.decoding.rules import DEFAULT, to_rgb
from npid_tf.data.sources.source import RandomAccess, digest_of

# `split_indices` is asked for here as well.
from npid_tf.data.sources.splits import choose, split_indices  # noqa: F401
from npid_tf.errors import UserError

# Scores of so many classes are still small: beyond, labels are ids, not numbers.
LARGEST_LABEL = 65_535


def from_arrays(
    images,
    labels=None,
    class_names=None,
    name="arrays",
    targets=None,
    decoding=DEFAULT,
):
    """A source of images in memory.

    Args:
        images: uint8 [num_instances, height, width, channels], channels 1, 3 or 4;
            [num_instances, height, width] is grey.
        labels: integers of 0 or more [num_instances] or, as Keras has them,
            [num_instances, 1]; or None. Ids above 65,535 are numbered, their classes
            named by them.
        class_names: name of each label, or None.
        name: what the fingerprint calls the data.
        targets: integers [num_instances, num_classes], 1, 0 or -1 (hard to see), if
            an image may have several classes; or None.
        decoding: what is beneath the transparent pixels of 4 channels.

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
        labels = _checked_labels(labels, len(images))
        labels, class_names = _numbered(labels, class_names)
    if targets is not None:
        targets = np.asarray(targets)
        is_known = np.isin(targets, (1, 0, -1)).all()
        if targets.ndim != 2 or len(targets) != len(images) or not is_known:
            raise UserError(
                f"`targets` must be 1, 0 or -1, [{len(images)}, num_classes]. "
                f"Received: {targets.dtype} {list(targets.shape)}."
            )
        targets = targets.astype(np.int8)
    with tf.device("CPU:0"):  # A GPU's memory is for the model.
        pixels = tf.constant(to_rgb(images, decoding))
    return RandomAccess(
        read=lambda index: tf.gather(pixels, index),
        num_instances=len(images),
        fingerprint={
            "name": name,
            "num_instances": len(images),
            "sha256": hashlib.sha256(np.ascontiguousarray(images)).hexdigest(),
            "contents": digest_of(
                [
                    list(images.shape),
                    *(None if x is None else x.tolist() for x in (labels, targets)),
                    class_names,
                ]
            ),
        },
        labels=labels,
        class_names=class_names,
        image_shape=images.shape[1:3],
        targets=targets,
    )


def _checked_labels(labels, num_images):
    """int64 [num_images]. Raises ValueError for anything else."""
    labels = np.asarray(labels)
    if labels.shape == (num_images, 1):
        labels = labels[:, 0]
    is_integer = np.issubdtype(labels.dtype, np.integer)
    if labels.shape != (num_images,) or not is_integer:
        raise UserError(
            f"`labels` must be integers [{num_images}], one per image. "
            f"Received: {labels.dtype} {list(labels.shape)}."
        )
    wrong = (labels < 0) | (labels > np.iinfo(np.int64).max)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise UserError(
            f"`labels` must be in [0, 2**63). Received: {labels[first]} for image "
            f"{first}, {wrong.sum()} of {num_images} are outside. Leave out the images "
            "without a class, or `labels`."
        )
    return labels.astype(np.int64)


def _numbered(labels, class_names):
    """(labels, class names), if labels are few: what counts classes counts to the
    largest."""
    if class_names is not None:
        if labels.max() >= len(class_names):
            raise UserError(
                f"`labels` must be below the {len(class_names)} classes. Received: "
                f"{labels.max()}."
            )
        return labels, class_names
    if labels.max() <= LARGEST_LABEL:
        return labels, None
    ids, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.int64), tuple(map(str, ids.tolist()))


def load_npz(path, split, stratified=True, decoding=DEFAULT):
    """The images of an .npz file with `images` and, optionally, integer `labels` or
    `targets` (see `from_arrays`).

    split: `train`, or a part of it as in `train[:80%]`: of every class its share.
    stratified: False: parts are one after the other. decoding: see `from_arrays`.
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
    class_names = None
    if labels is not None:
        # Of all images: a class has the same number in every part.
        labels = _checked_labels(labels, len(images))
        labels, class_names = _numbered(labels, None)
    chosen = choose(len(images), split, labels if stratified else None)
    return from_arrays(
        images[chosen],
        None if labels is None else labels[chosen],
        class_names=class_names,
        name=os.path.basename(path),
        targets=None if targets is None else targets[chosen],
        decoding=decoding,
    )
