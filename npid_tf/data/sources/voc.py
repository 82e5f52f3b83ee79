"""Folders in the format of PASCAL VOC: images with boxes and with masks."""

import dataclasses
import os
import xml.etree.ElementTree

import numpy as np
from PIL import Image

from npid_tf.errors import UserError

VOID = 255  # In a mask: pixels that do not count.


@dataclasses.dataclass(frozen=True)
class VocImage:
    """An image and what is drawn or written beside it.

    boxes: float32 [n, 4], top, left, bottom, right in pixels; labels: int64 [n];
    is_difficult: bool [n]. path and mask_path: files, the latter None without masks.
    """

    path: str
    boxes: np.ndarray
    labels: np.ndarray
    is_difficult: np.ndarray
    mask_path: str | None

    def read(self):
        """uint8 [height, width, 3]."""
        with Image.open(self.path) as image:
            return np.asarray(image.convert("RGB"))

    def read_mask(self):
        """uint8 [height, width]: 0 is background, k the k-th class, 255 void."""
        with Image.open(self.mask_path) as image:
            return np.asarray(image)


def load_voc(directory, splits, task):
    """The images of some splits, and the names of the classes.

    Args:
        directory: holds JPEGImages, Annotations, ImageSets and, for masks,
            SegmentationClass, in which class k is the k-th name in alphabetical order.
        splits: names of lists in ImageSets/TASK, such as `trainval` and `test`.
        task: `Main` (boxes) or `Segmentation`.

    Returns:
        A list of VocImages for each split, and the list of the classes' names.

    Raises:
        ValueError: for a folder, a list or a file that is missing, naming it.
    """
    numbers = {split: _read_list(directory, task, split) for split in splits}
    notes = {
        number: _read_annotation(directory, number)
        for listed in numbers.values()
        for number in listed
    }
    class_names = sorted({name for note in notes.values() for name, _, _ in note})
    if not class_names:
        raise UserError(f"No object in any annotation of {directory}.")
    images = {
        number: _image(directory, number, note, class_names, task)
        for number, note in notes.items()
    }
    return [[images[n] for n in numbers[split]] for split in splits], class_names


def _read_list(directory, task, split):
    path = os.path.join(directory, "ImageSets", task, f"{split}.txt")
    if not os.path.isfile(path):
        raise UserError(f"No file {path}. --voc_dir must be in the format of VOC.")
    with open(path, encoding="utf-8") as file:
        numbers = file.read().split()
    if not numbers:
        raise UserError(f"{path} lists no image.")
    return numbers


def _read_annotation(directory, number):
    """(name, [top, left, bottom, right], is_difficult) of each object."""
    path = os.path.join(directory, "Annotations", f"{number}.xml")
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
        return [
            (
                item.findtext("name"),
                [
                    float(item.find("bndbox").findtext(side))
                    for side in ("ymin", "xmin", "ymax", "xmax")
                ],
                item.findtext("difficult", "0").strip() == "1",
            )
            for item in root.iter("object")
        ]
    except (OSError, xml.etree.ElementTree.ParseError, TypeError, ValueError,
            AttributeError) as error:  # fmt: skip
        raise UserError(f"Cannot read the annotation {path}: {error}.") from error


def _image(directory, number, note, class_names, task):
    path = os.path.join(directory, "JPEGImages", f"{number}.jpg")
    mask_path = os.path.join(directory, "SegmentationClass", f"{number}.png")
    for needed in (path, mask_path)[: 1 + (task == "Segmentation")]:
        if not os.path.isfile(needed):
            raise UserError(f"No file {needed}, which ImageSets/{task} lists.")
    # VOC counts pixels from 1, and a box's last ones belong to it.
    boxes = np.array([box for _, box, _ in note], np.float32).reshape(-1, 4)
    return VocImage(
        path,
        boxes - np.array([1, 1, 0, 0], np.float32),
        np.array([class_names.index(name) for name, _, _ in note], np.int64),
        np.array([is_difficult for _, _, is_difficult in note], bool),
        mask_path if task == "Segmentation" else None,
    )
