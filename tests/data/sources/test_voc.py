"""Reading folders in the format of VOC."""

import numpy as np
import pytest
from PIL import Image

from npid_tf.data.sources.voc import load_voc
from voc_shapes import write_shapes


@pytest.fixture
def folder(tmp_path):
    write_shapes(tmp_path, {"train": 12, "val": 3}, size=48)
    return tmp_path


@pytest.mark.parametrize("task", ["Main", "Segmentation"])
def test_the_boxes_are_those_of_the_drawn_shapes(folder, task):
    (train, val), class_names = load_voc(folder, ["train", "val"], task)
    assert class_names == ["circle", "square", "triangle"]
    assert (len(train), len(val)) == (12, 3)
    for image in train + val:
        assert image.boxes.dtype == np.float32
        assert image.read().shape == (48, 48, 3)
        assert not image.is_difficult.any()
        if task == "Main":
            assert image.mask_path is None
            continue
        mask = image.read_mask()
        covered = np.zeros(mask.shape, bool)
        for (top, left, bottom, right), label in zip(
            image.boxes.astype(int), image.labels, strict=True
        ):
            part = mask[top:bottom, left:right]
            rows, columns = np.nonzero(part == label + 1)
            assert (rows.min(), columns.min()) == (0, 0)
            assert (rows.max() + 1, columns.max() + 1) == part.shape
            covered[top:bottom, left:right] = True
        assert not mask[~covered].any()


def test_difficult_objects_are_marked(folder):
    path = folder / "Annotations" / "val_00000.xml"
    note = path.read_text()
    path.write_text(note.replace("</name>", "</name><difficult>1</difficult>"))
    (images,), _ = load_voc(folder, ["val"], "Main")
    assert [image.is_difficult.all() for image in images] == [True, False, False]


def test_an_image_may_have_no_objects(folder):
    (folder / "Annotations" / "val_00000.xml").write_text("<annotation/>")
    (images,), _ = load_voc(folder, ["val"], "Main")
    assert images[0].boxes.shape == (0, 4)


def test_images_without_color_are_read_as_rgb(folder):
    path = folder / "JPEGImages" / "val_00000.jpg"
    Image.open(path).convert("L").save(path)
    (images,), _ = load_voc(folder, ["val"], "Main")
    assert images[0].read().shape == (48, 48, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ImageSets/Main/val.txt", None, r"No file .*val\.txt.*format of VOC"),
        ("ImageSets/Main/val.txt", "", r"val\.txt lists no image"),
        ("Annotations/val_00000.xml", None, r"Cannot read the annotation .*00\.xml"),
        ("Annotations/val_00000.xml", "<a><obj", r"Cannot read the annotation .*00\."),
        (
            "Annotations/val_00000.xml",
            "<a><object><name>circle</name></object></a>",
            r"Cannot read the annotation .*00\.xml",
        ),
        ("JPEGImages/val_00000.jpg", None, r"No file .*00\.jpg, which ImageSets/Main"),
    ],
)
def test_what_is_missing_or_broken_is_named(folder, name, content, message):
    path = folder / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_voc(folder, ["val"], "Main")


def test_masks_are_needed_for_segmentation_alone(folder):
    (folder / "SegmentationClass" / "val_00000.png").unlink()
    load_voc(folder, ["val"], "Main")
    with pytest.raises(ValueError, match=r"No file .*val_00000\.png, which ImageSets"):
        load_voc(folder, ["val"], "Segmentation")


def test_a_folder_without_objects_is_refused(folder):
    for path in (folder / "Annotations").iterdir():
        path.write_text("<annotation/>")
    with pytest.raises(ValueError, match="No object in any annotation"):
        load_voc(folder, ["val"], "Main")
