"""Parts of data, as in `train[:80%]`."""

import types

import numpy as np
import tensorflow_datasets as tfds

from npid_tf.errors import UserError


def choose(num_instances, split, labels=None):
    """The images of `train`, or of a part of it.

    labels: int64 [num_instances]; with them, a part has its share of every class, and
    the first part of several also has those with one image. Returns int64 indices,
    ascending; parts that do not overlap have none in common, and together all.

    Raises ValueError as `split_indices`.
    """
    part = split_indices({"train": num_instances}, split)["train"]
    order = np.arange(num_instances) if labels is None else spread(labels)
    return np.sort(order[part])


def spread(labels):
    """The order of images in which every class goes from the beginning to the end.

    labels: int64 [num_instances]. Returns int64 [num_instances]. The first image of a
    class has the place 0, its last the place 1, the others lie between, in their order.
    """
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.argsort(numbers, kind="stable")
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(labels), np.int64)  # of an image among those of its class
    rank[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    places = rank / np.maximum(counts[numbers] - 1, 1)
    return np.argsort(places, kind="stable")


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
