"""scikit-learn's 1,797 real handwritten digits, 8x8 grey: the data set that is always
there."""

import numpy as np
import sklearn.datasets

from npid_tf.data.arrays import from_arrays, split_indices


def load_digits(split):
    """The digits of `train` (four of five) or `test` (every fifth), or a part."""
    digits = sklearn.datasets.load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    is_test = np.arange(len(images)) % 5 == 0
    members = {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}
    counts = {name: len(indices) for name, indices in members.items()}
    ((name, part),) = split_indices(counts, split).items()
    chosen = members[name][part]
    return from_arrays(
        images[chosen],
        digits.target[chosen],
        class_names=tuple(str(digit) for digit in range(10)),
        name=f"digits {split}",
    )
