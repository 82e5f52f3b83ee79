"""What the page shows for images with and without classes."""

import dataclasses
import re

import numpy as np

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.protocols.diagnostics.measure import DiagnosticsFlags, HeldOut, Training
from npid_tf.protocols.diagnostics.page import make_page
from npid_tf.runs.train_flags import TrainFlags

CONFIG, FLAGS = TrainFlags(image_size=4), DiagnosticsFlags()
RANDOM = np.random.default_rng(0)


def images(count):
    return RANDOM.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


ROWS = [{"measure": "hubness", "value": 0.5, "over": "6 images"}]
TRAINING = Training(
    vectors=RANDOM.normal(size=(6, 5)).astype(np.float32),
    sample=np.arange(6),
    neighbors=(np.full([6, 1], 0.5), np.array([[1], [0], [0], [0], [2], [2]])),
    occurrences=np.array([3, 1, 2, 0, 0, 0]),
    near_duplicates=(np.array([3]), np.array([4]), np.array([0.99])),
)
HELD_OUT = HeldOut(
    vectors=RANDOM.normal(size=(3, 5)).astype(np.float32),
    neighbors=(
        np.array([[0.9, 0.8], [0.75, 0.5], [0.625, 0.25]], np.float32),
        np.array([[1, 2], [0, 2], [5, 0]]),
    ),
    leaks=(np.array([2]), np.array([5]), np.array([0.625])),
    num_voting=1,
    predicted=np.array([1, 0, 0]),
)


def section(page, heading):
    (found,) = re.findall(f'<h2 id="part.">{heading}</h2>(.*?)</section>', page, re.S)
    return found


def captions(html):
    return re.findall("<figcaption>(.*?)</figcaption>", html)


def test_neighbors_of_the_query_s_class_are_right_and_others_wrong():
    names = ("cat", "dog")
    source = from_arrays(images(6), np.array([0, 1, 1, 0, 0, 0]), names)
    eval_source = from_arrays(images(3), np.array([1, 0, 0]), names)
    page = make_page(
        CONFIG, DiagnosticsFlags(), source, eval_source, ROWS, TRAINING, HELD_OUT
    )
    grid = section(page, "Nearest training images")
    assert captions(grid) == [
        "query: dog, image to classify 0",
        "right 0.900 dog, training image 1",
        "right 0.800 dog, training image 2",
        "query: cat, image to classify 1",
        "right 0.750 cat, training image 0",
        "wrong 0.500 dog, training image 2",
        "query: cat, image to classify 2",
        "right 0.625 cat, training image 5",
        "right 0.250 cat, training image 0",
    ]
    kinds = re.findall('<figure class="(.*?)">', grid)
    assert kinds == [caption.split()[0].strip(":") for caption in captions(grid)]
    assert captions(section(page, "Training images most alike")) == [
        "0.9900: cat, training image 3",
        "cat, training image 4",
    ]
    assert captions(section(page, "Images to classify most like a training image")) == [
        "0.6250: cat, image to classify 2",
        "cat, training image 5",
    ]
    assert captions(section(page, "Hubs"))[:2] == [
        "nearest of 3: cat, training image 0",
        "nearest of 2: dog, training image 2",
    ]
    assert "<td>cat</td><td>2</td><td>1.0000</td>" in section(page, "Classes")
    assert "<picture>" in section(page, "Classes")


def test_without_labels_neighbors_are_neither_right_nor_wrong():
    held_out = dataclasses.replace(HELD_OUT, predicted=None)
    source, eval_source = from_arrays(images(6)), from_arrays(images(3))
    page = make_page(
        CONFIG, DiagnosticsFlags(), source, eval_source, ROWS, TRAINING, held_out
    )
    grid = section(page, "Nearest training images")
    assert captions(grid)[:2] == [
        "query: image to classify 0",
        "0.900 training image 1",
    ]
    assert set(re.findall('<figure class="(.*?)">', grid)) == {"query", ""}


def test_without_images_to_classify_training_images_are_the_queries():
    page = make_page(
        CONFIG, DiagnosticsFlags(), from_arrays(images(6)), None, ROWS, TRAINING, None
    )
    assert len(captions(section(page, "Nearest training images"))) == 2 * 6
    assert captions(section(page, "Nearest training images"))[:2] == [
        "query: training image 0",
        "0.500 training image 1",
    ]
    assert "Left out" in section(page, "Classes")
    assert "Left out" in section(page, "Images to classify most like a training image")
    assert "t-SNE of the embeddings of 6 training images" in section(page, "Map")
