"""The digits of scikit-learn: sizes, and no image in both splits."""

import numpy as np
import pytest
import sklearn.datasets

from npid_tf.data.sources.shipped.digits import load_digits


def pixels(source):
    ((_, handles),) = source.in_order().batch(source.num_instances)
    records = source.record(handles)
    return records.numpy()


def test_splits_hold_all_digits_once():
    train, test = load_digits("train"), load_digits("test")
    assert (train.num_instances, test.num_instances) == (1437, 360)
    images = {image.tobytes() for image in (*pixels(train), *pixels(test))}
    assert len(images) == 1797  # No two of the digits are alike.


def test_digits_are_8x8_and_use_the_whole_range():
    images = pixels(load_digits("test"))
    assert images.shape == (360, 8, 8, 3)
    assert (images.dtype, images.min(), images.max()) == (np.uint8, 0, 255)


def test_labels_and_class_names():
    train, test = load_digits("train"), load_digits("test")
    digits = sklearn.datasets.load_digits()
    wanted = {(i * (255 / 16)).round().astype(np.uint8).tobytes(): t
              for i, t in zip(digits.images, digits.target, strict=True)}  # fmt: skip
    for source in (train, test):
        images = pixels(source)[..., 0]
        assert [wanted[i.tobytes()] for i in images] == source.labels.tolist()
        assert source.class_names == tuple("0123456789")
    # Every class is held out alike: a fifth of it, as near as whole images allow.
    counts = np.bincount(train.labels), np.bincount(test.labels)
    np.testing.assert_allclose(counts[1] / (counts[0] + counts[1]), 0.2, atol=0.01)


def test_a_part_starts_where_the_other_ends():
    whole, first, second = map(load_digits, ("train", "train[:80%]", "train[80%:]"))
    np.testing.assert_array_equal(
        np.concatenate([pixels(first), pixels(second)]), pixels(whole)
    )


def test_unknown_split_lists_the_known_ones():
    with pytest.raises(ValueError, match="Known: train, test"):
        load_digits("validation")
