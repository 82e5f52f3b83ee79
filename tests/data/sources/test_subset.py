"""Some of the images of a source, in memory and read from files."""

import numpy as np
import pytest

from npid_tf.data.pipeline import make_eval_dataset
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.subset import subset
from npid_tf.data.sources.tfds import load_tfds

INDICES = np.array([1, 4, 5, 17])


@pytest.fixture(params=["arrays", "tfds"])
def source(request, tfds_dir):
    if request.param == "tfds":
        return load_tfds("tiny", "train", tfds_dir)
    images = np.random.default_rng(0).integers(0, 256, [20, 4, 4, 3], np.uint8)
    return from_arrays(images, np.arange(20) % 3)


def images_of(source):
    return {
        int(index): image.tobytes()
        for images, indices in make_eval_dataset(source, 4, 3).as_numpy_iterator()
        for image, index in zip(images, indices, strict=True)
    }


def test_image_i_is_that_of_the_ith_index(source):
    part = subset(source, INDICES)
    assert part.num_instances == 4
    whole, own = images_of(source), images_of(part)
    assert own == {number: whole[index] for number, index in enumerate(INDICES)}
    assert part.labels.tolist() == source.labels[INDICES].tolist()


def test_every_epoch_shuffles_all_of_them(source):
    part = subset(source, INDICES)
    orders = [
        [int(index) for index, _ in part.shuffled(0, epoch)] for epoch in range(12)
    ]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_other_images_have_another_fingerprint(source):
    first = subset(source, INDICES).fingerprint
    assert first != source.fingerprint
    assert first != subset(source, INDICES[1:]).fingerprint
