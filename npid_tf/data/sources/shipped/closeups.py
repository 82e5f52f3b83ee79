"""Close-ups of the two photographs that scikit-learn ships: a data set that is always
there, and on which pixels alone say little.

Each photograph, 640 x 427 pixels, is divided into six regions: roofs, sky, petals... A
close-up is a random square in one of them, and its class is the region. Those to learn
from lie in the left of their region, those held out in its right: they share no pixel.
"""

import numpy as np
import PIL.Image
import sklearn.datasets

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.splits import split_indices

HEIGHT, WIDTH = 427, 640  # of a photograph
ROWS, COLUMNS = 2, 3
LEFT = 0.62  # of the breadth of a region
SIDES = 32, 72  # of a close-up, in pixels of the photograph
SIDE = 48  # of all when they are read
PER_REGION = {"train": 200, "test": 40}
REGIONS = [
    f"{photo} {row} {column}"
    for photo in ("china", "flower")
    for row in ("top", "bottom")
    for column in ("left", "middle", "right")
]


def load_closeups(split):
    """The close-ups of `train` (2,400) or `test` (480), or a part of them."""
    counts = {name: count * len(REGIONS) for name, count in PER_REGION.items()}
    ((name, part),) = split_indices(counts, split).items()
    # One of each region after the other, so that any part has all.
    numbers = range(counts[name])[part]
    photos = sklearn.datasets.load_sample_images().images
    photos = [PIL.Image.fromarray(photo) for photo in photos]
    images = [_closeup(photos, name, number) for number in numbers]
    return from_arrays(
        np.stack(images),
        np.array([number % len(REGIONS) for number in numbers]),
        class_names=tuple(REGIONS),
        name=f"closeups {split}",
    )


def _closeup(photos, name, number):
    """uint8 [SIDE, SIDE, 3], a function of the split's name and the number."""
    photo, box = box_of(name, number)
    image = photos[photo].resize((SIDE, SIDE), PIL.Image.BOX, box)
    return np.asarray(image)


def box_of(name, number):
    """(0 or 1, (left, top, right, bottom)): the photograph of a close-up, and where in
    it, in pixels."""
    random = np.random.default_rng([name == "test", number])
    photo, region = divmod(number % len(REGIONS), ROWS * COLUMNS)
    height, width = HEIGHT // ROWS, WIDTH // COLUMNS
    top, left = (region // COLUMNS) * height, (region % COLUMNS) * width
    border = round(width * LEFT)
    if name == "test":
        left, width = left + border, width - border
    else:
        width = border
    side = random.integers(SIDES[0], SIDES[1] + 1)
    top += random.integers(0, height - side + 1)
    left += random.integers(0, width - side + 1)
    return photo, (left, top, left + side, top + side)
