"""Drawn shapes in the format of PASCAL VOC, for benchmarks and tests of transfer."""

import os

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle")
_PALETTE = [0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200]


def write_shapes(directory, num_images, size, seed=0):
    """Writes a VOC folder of images with one to three shapes on noise.

    num_images: {split: count}. size: side of the images in pixels.
    """
    generator = np.random.default_rng(seed)
    for folder in (
        *("JPEGImages", "Annotations", "SegmentationClass"),
        *("ImageSets/Main", "ImageSets/Segmentation"),
    ):
        os.makedirs(os.path.join(directory, folder), exist_ok=True)
    for split, count in num_images.items():
        names = [f"{split}_{number:05d}" for number in range(count)]
        for name in names:
            _write_image(directory, name, size, generator)
        for task in ("Main", "Segmentation"):
            path = os.path.join(directory, "ImageSets", task, f"{split}.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{name}\n" for name in names)


def _write_image(directory, name, size, generator):
    noise = generator.integers(0, 120, (size, size, 3), np.uint8)
    image, mask = Image.fromarray(noise), Image.new("P", (size, size))
    mask.putpalette(_PALETTE)
    boxes, objects = [], []
    for _ in range(generator.integers(1, 4)):
        side = int(generator.integers(size // 4, size // 2))
        left, top = (int(v) for v in generator.integers(0, size - side, 2))
        box = (left, top, left + side - 1, top + side - 1)
        if any(_overlaps(box, other) for other in boxes):
            continue
        boxes.append(box)
        number = int(generator.integers(len(CLASSES)))
        color = tuple(int(v) for v in generator.integers(130, 256, 3))
        _draw(ImageDraw.Draw(image), number, box, color)
        _draw(ImageDraw.Draw(mask), number, box, number + 1)
        objects.append(_object(CLASSES[number], box))
    image.save(os.path.join(directory, "JPEGImages", f"{name}.jpg"), quality=95)
    mask.save(os.path.join(directory, "SegmentationClass", f"{name}.png"))
    path = os.path.join(directory, "Annotations", f"{name}.xml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"<annotation>{''.join(objects)}</annotation>\n")


def _draw(draw, number, box, fill):
    left, top, right, bottom = box
    if CLASSES[number] == "circle":
        draw.ellipse(box, fill=fill)
    elif CLASSES[number] == "square":
        draw.rectangle(box, fill=fill)
    else:
        corners = [((left + right) // 2, top), (left, bottom), (right, bottom)]
        draw.polygon(corners, fill=fill)


def _object(name, box):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    numbers = "".join(f"<{side}>{value + 1}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name><bndbox>{numbers}</bndbox></object>"


def _overlaps(box, other):
    return all(
        box[axis] <= other[axis + 2] and other[axis] <= box[axis + 2]
        for axis in range(2)
    )
