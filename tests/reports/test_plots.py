"""Pictures that tell classes apart, on light and on dark pages."""

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.reports import plots
from npid_tf.reports.plots import draw_confusion, draw_points, tsne

RANDOM = np.random.default_rng(0)


def pixels(png):
    return tf.io.decode_png(png, channels=4).numpy()


def inks(png):
    """The colors of the pixels that are not transparent."""
    image = pixels(png)
    numbers = np.unique(image[image[..., 3] == 255].view(np.uint32))
    return {tuple(color) for color in numbers[:, None].view(np.uint8)[:, :3].tolist()}


def test_tsne_keeps_two_heaps_apart_and_its_seed_determines_it():
    heaps = np.repeat(np.eye(2, 8), 20, axis=0) + 0.01 * RANDOM.normal(size=(40, 8))
    points = tsne(heaps.astype(np.float32), seed=1)
    assert points.shape == (40, 2)
    first, second = points[:20], points[20:]
    gap = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert gap > 2 * np.linalg.norm(first - first.mean(axis=0), axis=1).max()
    np.testing.assert_array_equal(points, tsne(heaps.astype(np.float32), seed=1))


@pytest.mark.parametrize("num_classes", [3, 25])
def test_every_class_has_a_color_as_far_as_colors_can_be_told_apart(num_classes):
    points = RANDOM.normal(size=(200, 2))
    names = [f"class {number}" for number in range(num_classes)]
    labels = np.arange(200) % num_classes
    drawn = draw_points(points, labels, names)
    expected = {
        tuple(int(255 * part + 0.5) for part in plots.colormaps["tab20"](number)[:3])
        for number in range(min(num_classes, plots.NUM_COLORED))
    }
    assert expected <= inks(drawn["light"])


def test_points_without_labels_have_one_color():
    drawn = draw_points(RANDOM.normal(size=(9, 2)))
    assert (31, 119, 180) in inks(drawn["light"])


def test_on_dark_pages_the_text_is_white_and_on_light_ones_black():
    drawn = draw_confusion(np.array([[8, 2], [1, 9]]), ["cat", "dog"])

    assert (0, 0, 0) in inks(drawn["light"])
    assert (255, 255, 255) in inks(drawn["dark"])
    for png in drawn.values():
        assert pixels(png)[0, 0, 3] == 0  # The page's own color shows.


def test_of_many_classes_the_matrix_alone_is_drawn():
    drawn = draw_confusion(np.eye(100, dtype=int), [str(i) for i in range(100)])
    assert {(68, 1, 84), (253, 231, 37)} <= inks(drawn["dark"])  # viridis's ends
