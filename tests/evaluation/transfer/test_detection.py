"""RetinaNet's targets and scores. That it learns is benchmarks/transfer.py's."""

import numpy as np
import pytest

from npid_tf.data.sources.voc import load_voc
from npid_tf.evaluation.transfer.detection import average_precision, resized
from voc_shapes import write_shapes

pytest.importorskip("pycocotools", reason="the extra transfer is not installed")


@pytest.fixture
def images(tmp_path):
    write_shapes(tmp_path, {"val": 6}, size=64)
    (images,), _ = load_voc(tmp_path, ["val"], "Main")
    return images


class Oracle:
    """Knows the boxes of its images, each half a side too far to the right."""

    def __init__(self, images, moved=0.0, num_found=None):
        self.answers = iter(images)
        self.moved, self.num_found = moved, num_found

    def predict(self, pixels, verbose):
        image = next(self.answers)
        assert pixels.shape == (1, 32, 32, 3)
        boxes = image.boxes / 2  # The images are shown at half their size.
        boxes[:, [1, 3]] += self.moved * (boxes[:, 3] - boxes[:, 1])[:, None]
        count = len(boxes) if self.num_found is None else self.num_found
        scores = np.where(np.arange(len(boxes)) < count, 0.9, -1)
        return {
            "boxes": boxes[None],
            "labels": image.labels[None],
            "confidence": scores[None],
        }


def test_the_right_boxes_have_all_the_precision(images):
    scores = average_precision(Oracle(images), images, 3, 32)
    assert scores == pytest.approx({"AP": 1, "AP50": 1})


def test_boxes_a_quarter_off_count_at_half_overlap_alone(images):
    # The intersection over union is .75 / 1.25 = .6.
    scores = average_precision(Oracle(images, moved=0.25), images, 3, 32)
    assert scores["AP50"] == pytest.approx(1)
    assert 0.2 <= scores["AP"] <= 0.3  # Of the ten overlaps .5, .55 and perhaps .6.
    scores = average_precision(Oracle(images, moved=0.5), images, 3, 32)
    assert scores["AP50"] == 0


def test_nothing_found_has_no_precision(images):
    oracle = Oracle(images, num_found=0)
    assert average_precision(oracle, images, 3, 32) == {"AP": 0, "AP50": 0}


def test_boxes_are_resized_with_their_image(images):
    pixels, boxes = resized(images[0], 96)
    assert pixels.shape == (96, 96, 3)
    np.testing.assert_allclose(boxes, images[0].boxes * 1.5)
