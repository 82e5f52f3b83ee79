"""DeepLabV3+ on a learned backbone, and its mean intersection over union."""

import keras
import numpy as np
import tensorflow as tf

from npid_tf.data.sources.voc import VOID
from npid_tf.errors import UserError
from npid_tf.evaluation.transfer.backbone import import_keras_hub
from npid_tf.evaluation.transfer.batches import batches, fit, normalized


def build_segmenter(hub_backbone, num_classes, image_size):
    """keras-hub's DeepLabV3+ with a fresh head, to logits of background and classes.

    Raises ValueError for an image_size that is not a multiple of 32.
    """
    if image_size % 32:
        raise UserError(
            "Segmentation needs images whose side is a multiple of 32. "
            f"Received: {image_size}."
        )
    keras_hub = import_keras_hub()
    pyramid = keras_hub.models.DeepLabV3Backbone(
        hub_backbone,
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        image_shape=(image_size, image_size, 3),
    )
    return keras_hub.models.DeepLabV3ImageSegmenter(pyramid, num_classes + 1)


def train_segmenter(segmenter, images, image_size, batch_size, steps, optimizer, seed):
    """Fine-tunes all of the segmenter on VocImages and returns the last mean loss."""

    def example(image, is_flipped):
        pixels = tf.image.resize(image.read(), [image_size] * 2, antialias=True).numpy()
        mask = tf.image.resize(
            image.read_mask()[..., None], [image_size] * 2, "nearest"
        ).numpy()
        step = -1 if is_flipped else 1
        return normalized(pixels)[:, ::step], mask[:, ::step, 0].astype(np.float32)

    shapes = ((image_size, image_size, 3), (image_size, image_size))
    segmenter.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=VOID),
        metrics=[],  # keras-hub's own are for masks in one-hot form.
    )
    dataset = batches(images, example, shapes, batch_size, steps, seed)
    return fit(segmenter, dataset, steps)


def mean_iou(segmenter, images, num_classes, image_size):
    """{"mIoU": intersection over union, its mean over background and classes}.

    Of all images' pixels together, at their own size. Void pixels do not count, nor do
    classes that are neither there nor found.
    """
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)  # [truth, found]
    for image in images:
        pixels, mask = image.read(), image.read_mask()
        square = tf.image.resize(pixels, [image_size] * 2, antialias=True).numpy()
        logits = segmenter.predict_on_batch(normalized(square)[None])
        found = np.argmax(tf.image.resize(logits, mask.shape)[0], axis=-1)
        counted = mask != VOID
        np.add.at(counts, (mask[counted], found[counted]), 1)
    return {"mIoU": mean_iou_of(counts)}


def mean_iou_of(counts):
    """counts: [classes, classes], pixels of each class found as each class."""
    both = np.diag(counts)
    either = counts.sum(axis=0) + counts.sum(axis=1) - both
    return float(np.mean(both[either > 0] / either[either > 0]))
