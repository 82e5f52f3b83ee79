"""Thumbnails: of training images alone, small, and the images themselves."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.image_folder import load_folder
from npid_tf.server.training_images import SIDE, TrainingImages


def test_small_images_are_shown_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, [3, 6, 5, 3], np.uint8)
    thumbnails = TrainingImages(from_arrays(images))
    assert "2" in thumbnails
    for name in ("3", "-1", "", "../2"):
        assert name not in thumbnails
    decoded = tf.io.decode_png(thumbnails.thumbnail("2"))
    np.testing.assert_array_equal(decoded, images[2])
    with pytest.raises(KeyError):
        thumbnails.thumbnail("3")


def test_large_files_are_made_small_and_named_by_their_path(tmp_path):
    image = np.full([400, 800, 3], 77, np.uint8)
    path = str(tmp_path / "a.png")
    tf.io.write_file(path, tf.io.encode_png(image))
    thumbnails = TrainingImages(load_folder(str(tmp_path)))
    decoded = tf.io.decode_png(thumbnails.thumbnail(path)).numpy()
    assert decoded.shape == (SIDE // 2, SIDE, 3)
    assert (decoded == 77).all()
    assert "a.png" not in thumbnails


def test_without_a_source_there_are_none():
    assert "0" not in TrainingImages(None)
