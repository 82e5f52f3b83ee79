"""What the page shows for images with and without classes."""

import dataclasses
import re

import numpy as np

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.evaluation.neighborhood import similar_pairs
from npid_tf.protocols.diagnostics import page as page_of
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
    neighbors=(np.full([6, 1], 0.5), np.array([[1], [0], [0], [0], [2], [2]])),
    occurrences=np.array([3, 1, 2, 0, 0, 0]),
    near_duplicates=(np.array([3]), np.array([4]), np.array([0.99])),
    how="all pairs compared",
    outliers=(np.array([5, 1]), np.array([0.25, 0.5])),
    diverse=np.array([2, 4, 0]),
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
    assert captions(section(page, "Outliers")) == [
        "0.250: cat, training image 5",
        "0.500: dog, training image 1",
    ]
    assert captions(section(page, "A diverse subset"))[:2] == [
        "dog, training image 2",
        "cat, training image 4",
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


def test_of_many_large_photos_with_long_names_the_page_stays_small(monkeypatch):
    """Noise, of which no format makes less: the most that any photos can take."""
    monkeypatch.setattr(page_of, "tsne", lambda vectors, seed: vectors[:, :2])
    count = 120
    photos = RANDOM.integers(0, 256, (count, 100, 120, 3), dtype=np.uint8)
    source = from_arrays(photos, np.arange(count))
    source.paths = [f"{number}{'/long' * 800}" for number in range(count)]
    near = RANDOM.integers(0, count, [count, 10])
    similar = np.sort(RANDOM.random([count, 10]))[:, ::-1]
    pairs = similar_pairs(similar, near)
    training = Training(
        vectors=RANDOM.normal(size=(count, 5)).astype(np.float32),
        neighbors=(similar, near),
        occurrences=np.arange(count),
        near_duplicates=pairs,
        how="all pairs compared",
        outliers=(np.arange(12), np.zeros(12)),
        diverse=np.arange(20, 32),
    )
    held_out = HeldOut(training.vectors, (similar, near), pairs, 10, near[:, 0])
    config = TrainFlags(image_size=100)
    html = make_page(config, FLAGS, source, source, ROWS, training, held_out)
    assert len(html) < 20e6
    figures = len(captions(html))
    assert figures == 12 * 9 + 2 * 2 * 12 + 8 + 2 * 12
    # What is not shown is told.
    duplicates = section(html, "Training images most alike")
    listed = np.count_nonzero(similar >= FLAGS.duplicate_similarity)
    assert f"The 12 most alike. near_duplicates.csv lists all {listed}" in duplicates
