"""Thumbnails of the images that an encoder was trained on."""

import functools

import tensorflow as tf

from npid_tf.data.decode import pixels
from npid_tf.data.shrink import shrink

SIDE = 160


class TrainingImages:
    """Small pictures of the images of a source, by id.

    Args:
        source: as in data/source.py, with `read`; None if the images are not to be
            had any more: then there are no thumbnails.
    """

    def __init__(self, source):
        self._source = source
        self._rows = {}
        if source is not None:
            names = source.paths or range(source.num_instances)
            self._rows = {str(name): row for row, name in enumerate(names)}
        self.thumbnail = functools.lru_cache(maxsize=4096)(self._make_thumbnail)

    def names(self):
        """The ids of all of them, in the order of the source."""
        return list(self._rows)

    def __contains__(self, name):
        return name in self._rows

    def _make_thumbnail(self, name):
        """A PNG of at most 160 x 160 pixels. Raises KeyError for an unknown id."""
        record = self._source.read(tf.constant(self._rows[name], tf.int64))
        image = shrink(pixels(tf.convert_to_tensor(record)), SIDE)
        return tf.io.encode_png(image).numpy()
