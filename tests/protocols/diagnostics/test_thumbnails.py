"""Small images and captions of those that are asked for."""

import numpy as np
import pytest

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.source import RandomAccess
from npid_tf.protocols.diagnostics.thumbnails import Gallery, read_thumbnails
from npid_tf.runs.train_flags import TrainFlags

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
CONFIG = TrainFlags(image_size=8)


def test_the_images_come_sorted_and_once():
    indices, images = read_thumbnails(CONFIG, from_arrays(IMAGES), [4, 1, 4], 96)
    assert indices.tolist() == [1, 4]
    np.testing.assert_array_equal(images, IMAGES[[1, 4]])


def test_a_large_image_is_made_smaller():
    even = np.full_like(IMAGES, 200)
    _, images = read_thumbnails(CONFIG, from_arrays(even), [0, 5], 3)
    assert images.shape == (2, 3, 3, 3)
    assert (images == 200).all()


def test_a_caption_names_class_and_number_and_the_note():
    source = from_arrays(IMAGES, np.arange(6) % 2, class_names=("cat", "dog"))
    shown = Gallery(CONFIG, source, "training image", [np.array([[3], [2]]), [5]])
    caption, image, alt, kind = shown.figure(3, "right 0.9", "right")
    assert (caption, alt, kind) == (
        "right 0.9 dog, training image 3",
        "dog, training image 3",
        "right",
    )
    np.testing.assert_array_equal(image, IMAGES[3])
    assert shown.label(2) == 0


@pytest.mark.parametrize("labels", [None, np.arange(6)])
def test_files_have_their_paths_and_unnamed_classes_their_numbers(labels):
    arrays = from_arrays(IMAGES)
    source = RandomAccess(
        *(arrays.read, 6, {}, labels), paths=list("abcdef"), image_shape=(8, 8)
    )
    shown = Gallery(CONFIG, source, "training image", [[1]])
    expected = "b" if labels is None else "1, b"
    assert shown.figure(1)[0] == expected
    assert shown.label(1) == (None if labels is None else 1)
