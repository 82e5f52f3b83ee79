"""Some images of a run, small, as the encoder sees them."""

import numpy as np
import tensorflow as tf

from npid_tf.data.sources.subset import subset
from npid_tf.runs import data


def read_thumbnails(config, source, indices, largest):
    """The images of `indices`, each once, in sorted order.

    largest: pixels of a side beyond which an image is made smaller. Returns (indices
    [num_images], uint8 [num_images, side, side, 3]).
    """
    indices = np.unique(indices)
    side = min(config.image_size, largest)
    batches = data.build_eval_dataset(config, subset(source, indices))
    thumbnails = [_shrink(images, side) for images, _ in batches]
    return indices, np.concatenate(thumbnails)


def _shrink(images, side):
    if images.shape[1] == side:
        return images.numpy()
    small = tf.image.resize(images, [side, side], antialias=True)
    return tf.saturate_cast(tf.round(small), tf.uint8).numpy()


class Gallery:
    """Images of a source that a page shows, each with a caption.

    name: what one of them is called, as in "training image"; indices: list of arrays.
    """

    def __init__(self, config, source, name, indices, largest=96):
        self._source = source
        self._name = name
        indices = np.concatenate([np.ravel(part) for part in indices])
        found = read_thumbnails(config, source, indices, largest)
        self._thumbnails = dict(zip(found[0].tolist(), found[1], strict=True))

    def label(self, index):
        """The class of an image, or None."""
        return None if self._source.labels is None else self._source.labels[index]

    def figure(self, index, note="", kind=""):
        """(caption, image, alternative text, kind) for `html.image_row`."""
        name = f"{self._name} {index}"
        if self._source.paths is not None:
            name = self._source.paths[index]
        if self._source.labels is not None:
            name = f"{class_name(self._source, self.label(index))}, {name}"
        return f"{note} {name}".strip(), self._thumbnails[int(index)], name, kind


def class_name(source, label):
    """What a label of the source is called."""
    names = source.class_names
    return str(label) if names is None else names[label]
