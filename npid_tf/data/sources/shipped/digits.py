"""scikit-learn's 1,797 real handwritten digits, 8x8 grey: the data set that is always
there."""

import numpy as np
import sklearn.datasets
from sklearn.model_selection import train_test_split

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.splits import split_indices


def load_digits(split):
    """The digits of `train` (four of five) or `test` (a held-out fifth), or a part."""
    digits = sklearn.datasets.load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    # The digits are stored in a repeating order: "every fifth" would favour classes.
    train, test = train_test_split(
        np.arange(len(images)), test_size=0.2, stratify=digits.target, random_state=0
    )
    members = {"train": np.sort(train), "test": np.sort(test)}
    counts = {name: len(indices) for name, indices in members.items()}
    ((name, part),) = split_indices(counts, split).items()
    chosen = members[name][part]
    return from_arrays(
        images[chosen],
        digits.target[chosen],
        class_names=tuple(str(digit) for digit in range(10)),
        name=f"digits {split}",
    )
