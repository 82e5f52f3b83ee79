"""Detection and segmentation of drawn shapes, from a fresh ResNet-18.

    PYTHONPATH=. python benchmarks/transfer.py

Shapes on noise in the format of PASCAL VOC, drawn by the program; RetinaNet and
DeepLabV3+ are trained on some and judged on others, as `evaluate` does it.
"""

import argparse
import sys
import tempfile
import time

import keras

import measure
from npid_tf.backbones import build_backbone
from npid_tf.data.sources.voc import load_voc
from npid_tf.evaluation.transfer import detection, segmentation
from npid_tf.evaluation.transfer.backbone import to_keras_hub
from npid_tf.evaluation.transfer.batches import build_optimizer
from voc_shapes import write_shapes

HEADER = ["task", "images", "steps", "score", "value", "seconds", "CPU seconds"]
# The images of a task, its functions, and the steps that it is given: one of
# segmentation takes four times as long.
TASKS = {
    "detection": (
        "Main",
        detection.build_detector,
        detection.train_detector,
        detection.average_precision,
        300,
    ),
    "segmentation": (
        "Segmentation",
        segmentation.build_segmenter,
        segmentation.train_segmenter,
        segmentation.mean_iou,
        100,
    ),
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--steps", type=int, help="default: 300 and 100")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--num_train", type=int, default=400)
    parser.add_argument("--num_eval", type=int, default=100)
    parser.add_argument("--image_size", type=int, default=64)
    arguments = parser.parse_args(arguments)
    print(f"{measure.machine()}\n")
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        counts = {"train": arguments.num_train, "val": arguments.num_eval}
        write_shapes(directory, counts, arguments.image_size)
        for task in arguments.task:
            rows += measure_task(task, directory, arguments)
            print(*rows[-1], file=sys.stderr)  # The table comes after the last.
    measure.print_table(HEADER, rows)


def measure_task(name, directory, arguments):
    """The rows of the table for one task, a row for each score."""
    task, build_network, train, judge, steps = TASKS[name]
    size, steps = arguments.image_size, arguments.steps or steps
    start, start_cpu = time.monotonic(), time.process_time()
    (images, eval_images), class_names = load_voc(directory, ["train", "val"], task)
    keras.utils.set_random_seed(0)
    backbone = to_keras_hub(build_backbone("resnet18", size))
    network = build_network(backbone, len(class_names), size)
    optimizer = build_optimizer(arguments.learning_rate, steps)
    train(network, images, size, arguments.batch_size, steps, optimizer, seed=0)
    scores = judge(network, eval_images, len(class_names), size)
    seconds, cpu = time.monotonic() - start, time.process_time() - start_cpu
    return [
        [
            name,
            len(images),
            steps,
            score,
            f"{value:.3f}",
            f"{seconds:.0f}",
            f"{cpu:.0f}",
        ]
        for score, value in scores.items()
    ]


if __name__ == "__main__":
    main()
