"""The close-ups of scikit-learn's photographs: what is learned and what is held out."""

import numpy as np

from npid_tf.data.sources.shipped.closeups import REGIONS, box_of, load_closeups


def test_sizes_classes_and_parts():
    some = load_closeups("test[:25%]")
    assert (some.num_instances, some.image_shape) == (120, (48, 48))
    assert set(some.labels) == set(range(12)) and len(some.class_names) == 12
    again = load_closeups("test[:24]")
    numbers = np.arange(24)
    np.testing.assert_array_equal(some.read(numbers), again.read(numbers))
    assert len(np.unique(again.read(numbers), axis=0)) == 24


def test_what_is_held_out_shares_no_pixel_with_what_is_learned():
    seen = np.zeros([2, 427, 640], bool)
    for number in range(200 * len(REGIONS)):
        photo, (left, top, right, bottom) = box_of("train", number)
        seen[photo, top:bottom, left:right] = True
    assert 0.5 < seen.mean() < 0.63
    for number in range(40 * len(REGIONS)):
        photo, (left, top, right, bottom) = box_of("test", number)
        assert right <= 640 and bottom <= 427
        assert not seen[photo, top:bottom, left:right].any()
