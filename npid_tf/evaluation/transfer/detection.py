"""RetinaNet on a learned backbone, and its average precision."""

import contextlib
import io
import math

import keras
import numpy as np
import tensorflow as tf

from npid_tf.evaluation.transfer.backbone import import_keras_hub
from npid_tf.evaluation.transfer.batches import batches, fit, normalized

MAX_DETECTIONS = 100  # Of an image: what COCO's evaluation counts.
_PRIOR = 0.01  # What an anchor holds an object with, at first (Lin et al. 2017).


def build_detector(hub_backbone, num_classes, image_size):
    """keras-hub's RetinaNet with a fresh head; boxes are (top, left, bottom, right)."""
    keras_hub = import_keras_hub()
    pyramid = keras_hub.models.RetinaNetBackbone(
        hub_backbone,
        min_level=3,
        max_level=7,
        use_p5=False,
        image_shape=(image_size, image_size, 3),
    )
    detector = keras_hub.models.RetinaNetObjectDetector(
        pyramid,
        num_classes,
        bounding_box_format="yxyx",
        prediction_decoder=keras_hub.layers.NonMaxSuppression(
            bounding_box_format="yxyx",
            from_logits=True,
            confidence_threshold=0.05,
            max_detections=MAX_DETECTIONS,
        ),
    )
    _initialize(detector.box_head, bias=0.0)
    _initialize(detector.classification_head, bias=-math.log((1 - _PRIOR) / _PRIOR))
    return detector


def _initialize(head, bias):
    """Draws the head's kernels so that its first outputs are close to `bias`.

    keras-hub 0.32 draws all of them with a deviation of .05, from which training starts
    at a loss of 1,000, and gives the bias of the prior to the boxes, not the classes.
    """
    for layer in head.conv_layers:  # An initializer draws the same every time.
        layer.kernel.assign(keras.initializers.HeNormal()(layer.kernel.shape))
    last = head.prediction_layer
    last.kernel.assign(keras.initializers.RandomNormal(stddev=0.01)(last.kernel.shape))
    last.bias.assign(np.full(last.bias.shape, bias))


def train_detector(detector, images, image_size, batch_size, steps, optimizer, seed):
    """Fine-tunes all of the detector on VocImages and returns the last mean loss."""
    most = max(1, *(len(image.boxes) for image in images))

    def example(image, is_flipped):
        pixels, boxes = resized(image, image_size)
        if is_flipped:
            pixels = pixels[:, ::-1]
            boxes = boxes * [1, -1, 1, -1] + [0, image_size, 0, image_size]
            boxes = boxes[:, [0, 3, 2, 1]]
        padded = np.full((most, 5), -1, np.float32)
        padded[: len(boxes), :4] = boxes
        padded[: len(boxes), 4] = image.labels
        return normalized(pixels), padded

    shapes = ((image_size, image_size, 3), (most, 5))
    dataset = batches(images, example, shapes, batch_size, steps, seed).map(
        lambda pixels, boxes: (
            pixels,
            {"boxes": boxes[..., :4], "labels": boxes[..., 4]},
        )
    )
    detector.compile(optimizer)
    return fit(detector, dataset, steps)


def resized(image, size):
    """An image as a square, and its boxes there: float32 [size, size, 3], [n, 4]."""
    pixels = image.read()
    height, width, _ = pixels.shape
    scale = np.array([size / height, size / width] * 2, np.float32)
    square = tf.image.resize(pixels, [size, size], antialias=True).numpy()
    return square, image.boxes * scale


def average_precision(detector, images, num_classes, image_size):
    """COCO's AP (mean over IoU .5 to .95) and AP50 of a detector.

    Difficult objects count neither as found nor as missed. Returns a dict.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = [], []
    for number, image in enumerate(images):
        pixels, boxes = resized(image, image_size)
        for box, label, is_difficult in zip(
            boxes, image.labels, image.is_difficult, strict=True
        ):
            truth.append(
                _entry(number, box, label)
                | {"id": len(truth) + 1, "iscrowd": int(is_difficult)}
            )
        detections = detector.predict(normalized(pixels)[None], verbose=0)
        for box, label, score in zip(
            *(detections[key][0] for key in ("boxes", "labels", "confidence")),
            strict=True,
        ):
            if score > 0:  # -1: fewer were found.
                found.append(_entry(number, box, label) | {"score": float(score)})
    if not found:
        return {"AP": 0.0, "AP50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in range(len(images))],
            "annotations": truth,
            "categories": [{"id": label} for label in range(num_classes)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"AP": float(evaluation.stats[0]), "AP50": float(evaluation.stats[1])}


def _entry(number, box, label):
    top, left, bottom, right = (float(value) for value in box)
    return {
        "image_id": number,
        "category_id": int(label),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
    }
