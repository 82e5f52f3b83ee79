"""The shapes that transfer is measured on."""

import numpy as np
from PIL import Image

from npid_tf.data.sources.voc import load_voc
from voc_shapes import CLASSES, write_shapes


def test_every_class_is_drawn_and_shapes_do_not_overlap(tmp_path):
    write_shapes(tmp_path, {"train": 30}, size=64)
    (images,), class_names = load_voc(tmp_path, ["train"], "Segmentation")
    assert tuple(class_names) == CLASSES
    numbers = np.concatenate([image.labels for image in images])
    assert set(numbers) == {0, 1, 2}
    assert {1, 2} <= {len(image.labels) for image in images} <= {1, 2, 3}
    for image in images:
        covered = np.zeros((64, 64), int)
        for top, left, bottom, right in image.boxes.astype(int):
            covered[top:bottom, left:right] += 1
        assert covered.max() == 1


def test_the_same_seed_draws_the_same(tmp_path):
    pixels = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_shapes(tmp_path / name, {"train": 1}, size=32, seed=seed)
        path = tmp_path / name / "JPEGImages" / "train_00000.jpg"
        pixels.append(np.asarray(Image.open(path)))
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert (pixels[0] != pixels[2]).any()
