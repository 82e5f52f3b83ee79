"""DeepLabV3+'s scores. That it learns is benchmarks/transfer.py's."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from npid_tf.data.sources.voc import load_voc
from npid_tf.evaluation.transfer.segmentation import (
    build_segmenter,
    mean_iou,
    mean_iou_of,
)
from voc_shapes import write_shapes


class Oracle:
    """Knows the masks of its images, or finds background alone."""

    def __init__(self, images, is_blind=False):
        self.answers = iter(images)
        self.is_blind = is_blind

    def predict_on_batch(self, pixels):
        mask = next(self.answers).read_mask()
        mask = np.where((mask == 255) | self.is_blind, 0, mask)
        assert pixels.shape == (1, 64, 64, 3)
        return tf.one_hot(mask, 4)[None]


@pytest.fixture
def folder(tmp_path):
    write_shapes(tmp_path, {"val": 8}, size=64)
    return tmp_path


def test_the_right_masks_score_one_and_void_does_not_count(folder):
    path = folder / "SegmentationClass" / "val_00000.png"
    mask = Image.open(path)
    mask.paste(255, (0, 0, 64, 8))
    mask.save(path)
    (images,), _ = load_voc(folder, ["val"], "Segmentation")
    assert mean_iou(Oracle(images), images, 3, 64) == {"mIoU": 1}


def test_background_alone_scores_its_share(folder):
    (images,), _ = load_voc(folder, ["val"], "Segmentation")
    share = np.mean([image.read_mask() == 0 for image in images])
    scores = mean_iou(Oracle(images, is_blind=True), images, 3, 64)
    assert scores["mIoU"] == pytest.approx(share / 4)


def test_classes_that_are_nowhere_do_not_count():
    # 6 of 8 and 3 of 5 pixels, and a class that is neither there nor found.
    counts = np.array([[6, 1, 0], [1, 3, 0], [0, 0, 0]])
    assert mean_iou_of(counts) == pytest.approx((6 / 8 + 3 / 5) / 2)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"multiple of 32\. Received: 100"):
        build_segmenter(None, 3, 100)
