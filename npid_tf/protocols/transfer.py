"""Detection and segmentation: fine-tuned from the learned backbone and a fresh one."""

import dataclasses

import keras

from npid_tf.command_line.fields import Flags, flag
from npid_tf.data.sources.voc import load_voc
from npid_tf.errors import UserError
from npid_tf.evaluation.transfer.backbone import import_keras_hub, to_keras_hub
from npid_tf.evaluation.transfer.batches import build_optimizer
from npid_tf.evaluation.transfer.detection import (
    average_precision,
    build_detector,
    train_detector,
)
from npid_tf.evaluation.transfer.segmentation import (
    build_segmenter,
    mean_iou,
    train_segmenter,
)
from npid_tf.protocols.protocol import Protocol
from npid_tf.runs import build


@dataclasses.dataclass(frozen=True)
class TransferFlags(Flags):
    """The images, and the length of fine-tuning."""

    voc_dir: str | None = flag(None, "Folder in the format of PASCAL VOC", path=True)
    voc_splits: tuple[str, ...] = flag(
        ("trainval", "test"), "Lists of ImageSets: to train on, and to evaluate on"
    )
    transfer_size: int = flag(
        512, "Side that the images are resized to, in pixels", at_least=1
    )
    transfer_batch_size: int = flag(16, "Images in a step", at_least=1)
    transfer_steps: int = flag(24_000, "Steps of fine-tuning", at_least=1)
    transfer_learning_rate: float = flag(1e-4, "Peak learning rate", above=0)


def evaluate_detection(config, flags):
    """RetinaNet's AP (mean over IoU .5 to .95) and AP50, by COCO's evaluation.

    Returns a list of dicts with the keys encoder, steps, loss, AP and AP50. Raises
    ValueError where --voc_dir or a checkpoint is missing or the backbone is no ResNet
    for large images, ImportError where keras-hub is missing.
    """
    return _fine_tune_both(
        config, flags, "Main", build_detector, train_detector, average_precision
    )


def evaluate_segmentation(config, flags):
    """DeepLabV3+'s mean intersection over union.

    Returns a list of dicts with the keys encoder, steps, loss and mIoU. Raises as
    `evaluate_detection`, and for a --transfer_size that is no multiple of 32.
    """
    return _fine_tune_both(
        config, flags, "Segmentation", build_segmenter, train_segmenter, mean_iou
    )


def _fine_tune_both(config, flags, task, build_network, train, judge):
    import_keras_hub()  # Missing, it should be told of now.
    if flags.voc_dir is None or len(flags.voc_splits) != 2:
        raise UserError(
            "Pass --voc_dir=DIR, a folder in the format of PASCAL VOC, and two lists "
            f"in it, as in --voc_splits=trainval,test. Received: {flags.voc_dir}, "
            f"{','.join(flags.voc_splits)}."
        )
    images, class_names = load_voc(flags.voc_dir, flags.voc_splits, task)
    size, steps = flags.transfer_size, flags.transfer_steps
    trained = build.load_trained_encoder(config)
    encoders = {"trained": trained, "untrained": build.build_fresh_encoder(config)}
    rows = []
    for name, encoder in encoders.items():
        [backbone] = [each for each in encoder.layers if isinstance(each, keras.Model)]
        keras.utils.set_random_seed(config.seed)  # The same first head for both.
        network = build_network(to_keras_hub(backbone), len(class_names), size)
        optimizer = build_optimizer(flags.transfer_learning_rate, steps)
        loss = train(
            network,
            images[0],
            size,
            flags.transfer_batch_size,
            steps,
            optimizer,
            config.seed,
        )
        scores = judge(network, images[1], len(class_names), size)
        rows.append({"encoder": name, "steps": steps, "loss": loss, **scores})
    return rows


DETECTION = Protocol("detection", evaluate_detection, TransferFlags)
SEGMENTATION = Protocol("segmentation", evaluate_segmentation, TransferFlags)
