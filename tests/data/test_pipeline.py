"""Batches are a function of (seed, epoch, index), wherever training starts."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from npid_tf.data import pipeline
from npid_tf.data.augmentation.augment import (
    Recipe,
    Step,
    build_augmentation,
    random_flip,
)
from npid_tf.data.augmentation.crop import NUM_DRAWS, random_box
from npid_tf.data.decode import pixels
from npid_tf.data.pipeline import make_eval_dataset, make_train_dataset
from npid_tf.data.preprocess import preprocess_for_eval
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.source import RandomAccess
from npid_tf.data.sources.tfds import load_tfds

EPOCHS, BATCH, SEED = 3, 8, 7  # Of 20 images: 2 steps, and 4 images left over.
STEPS = 20 // BATCH


ARRAYS = np.random.default_rng(1).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


@pytest.fixture(params=["arrays", "folder", "tfds"])
def load_source(request, folder, tfds_dir):
    """Loads the twenty images anew at every call, as a restarted program does."""
    return {
        "arrays": lambda: from_arrays(ARRAYS),
        "folder": lambda: load_folder(folder),
        "tfds": lambda: load_tfds("tiny", "train", tfds_dir),
    }[request.param]


def train_batches(source, name="npid_cifar", seed=SEED, **position):
    augmentation = build_augmentation(name) if isinstance(name, str) else name
    dataset = make_train_dataset(
        source, augmentation, 4, BATCH, seed, EPOCHS, **position
    )
    return [(images.numpy(), indices.numpy()) for images, indices in dataset]


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        np.testing.assert_array_equal(batch[1], other[1])
        np.testing.assert_array_equal(batch[0], other[0])


def test_training_that_starts_anywhere_goes_on_as_the_whole_one(load_source):
    whole = train_batches(load_source())
    assert len(whole) == EPOCHS * STEPS

    @settings(max_examples=3, deadline=None, derandomize=True)
    @given(epoch=st.integers(0, EPOCHS - 1), step=st.integers(0, STEPS))
    def check(epoch, step):
        tf.random.set_seed(epoch)  # The global seed must not matter.
        rest = train_batches(load_source(), first_epoch=epoch, first_step=step)
        assert_same(rest, whole[epoch * STEPS + step :])

    check()


def parts_of_workers(source, num_workers, batches_per_step, **position):
    """One batch a step, put together from what each worker gets."""
    parts = [
        train_batches(
            source,
            num_workers=num_workers,
            worker=worker,
            batches_per_step=batches_per_step,
            **position,
        )
        for worker in range(num_workers)
    ]
    steps = len(parts[0]) // batches_per_step
    assert {len(part) for part in parts} == {steps * batches_per_step}
    size = BATCH // (num_workers * batches_per_step)
    assert {len(indices) for part in parts for _, indices in part} == {size}
    return [
        tuple(
            np.concatenate([batch[column] for part in parts for batch in part[step]])
            for column in (0, 1)
        )
        for step in (
            slice(start, start + batches_per_step)
            for start in range(0, steps * batches_per_step, batches_per_step)
        )
    ]


def test_parts_of_workers_make_the_batch_of_one(load_source):
    source = load_source()
    whole = train_batches(source)
    for num_workers, batches_per_step in ((1, 2), (2, 2), (4, 1)):
        assert_same(parts_of_workers(source, num_workers, batches_per_step), whole)
    rest = parts_of_workers(source, 2, 2, first_epoch=1, first_step=1)
    assert_same(rest, whole[STEPS + 1 :])


def test_workers_read_no_image_of_another():
    read = []

    def read_and_note(index):
        tf.py_function(lambda index: read.append(int(index)), [index], [])
        return tf.zeros([4, 4, 3], tf.uint8)

    source = RandomAccess(read_and_note, num_instances=20, fingerprint={})
    batches = train_batches(source, "none", num_workers=4, worker=2)
    assert sorted(read) == sorted(np.concatenate([batch[1] for batch in batches]))


def test_a_batch_that_devices_cannot_share_is_refused():
    source = from_arrays(np.zeros((20, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="batch_size=8, 3 workers with 2 devices"):
        train_batches(source, num_workers=3, batches_per_step=2)


def test_epochs_of_whole_batches_hold_every_image(load_source):
    dataset = make_train_dataset(
        load_source(), build_augmentation("none"), 4, 5, SEED, EPOCHS
    )
    seen = np.concatenate([indices for _, indices in dataset])
    np.testing.assert_array_equal(np.bincount(seen, minlength=20), [EPOCHS] * 20)


@pytest.mark.parametrize("load_source", ["arrays", "folder"], indirect=True)
def test_views_are_those_of_as_many_epochs_of_one(load_source):
    source = load_source()
    epochs = [train_batches(source, first_epoch=epoch) for epoch in range(2)]
    view_of = {}  # Of an epoch of its own, by the number of the epoch and the image.
    one = make_train_dataset(source, build_augmentation("npid_cifar"), 4, 1, SEED, 2)
    for number, (images, indices) in enumerate(one):
        view_of[number // 20, int(indices[0])] = images[0].numpy()
    two = train_batches(source, views=2)
    assert len(two) == len(epochs[0])
    for (images, indices), (_, expected) in zip(two[:STEPS], epochs[0], strict=False):
        np.testing.assert_array_equal(indices, np.tile(expected, 2))
        for position, (image, index) in enumerate(zip(images, indices, strict=True)):
            view = position // BATCH
            np.testing.assert_array_equal(image, view_of[view, int(index)])


def test_epochs_hold_no_image_twice_and_differ_in_order(load_source):
    batches = train_batches(load_source(), "none")
    epochs = [
        np.concatenate([indices for _, indices in batches[start : start + STEPS]])
        for start in range(0, EPOCHS * STEPS, STEPS)
    ]
    for epoch in epochs:
        assert len(set(epoch)) == STEPS * BATCH
        assert set(epoch) <= set(range(20))
    assert len({tuple(epoch) for epoch in epochs}) == EPOCHS
    left_out = [frozenset(range(20)) - set(epoch) for epoch in epochs]
    assert len(set(left_out)) > 1


def test_without_augmentation_an_index_has_the_same_pixels_always(load_source):
    source = load_source()
    evaluated = {
        int(index): preprocess_for_eval(pixels(source.record(handle)), 4, 1.0).numpy()
        for index, handle in source.in_order()
    }
    for images, indices in train_batches(source, "none"):
        for image, index in zip(images, indices, strict=True):
            np.testing.assert_array_equal(image, evaluated[index])
    seen = []
    for images, indices in make_eval_dataset(source, 4, 8):
        seen += indices.numpy().tolist()
        for image, index in zip(images, indices.numpy(), strict=True):
            np.testing.assert_array_equal(image, evaluated[index])
    assert seen == list(range(20))


def test_evaluated_images_may_start_anywhere(load_source):
    source = load_source()
    whole = list(make_eval_dataset(source, 4, 1).as_numpy_iterator())
    rest = list(make_eval_dataset(source, 4, 1, first=7).as_numpy_iterator())
    assert len(rest) == 13
    for expected, found in zip(whole[7:], rest, strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1] == expected[1]


def test_views_of_an_image_differ_between_epochs():
    image = np.random.default_rng(0).integers(0, 256, (1, 9, 9, 3), dtype=np.uint8)
    dataset = make_train_dataset(
        from_arrays(image), build_augmentation("npid"), 4, 1, SEED, 5
    )
    assert len({images.numpy().tobytes() for images, _ in dataset}) == 5


@pytest.mark.parametrize("kind", ["files", "memory"])
def test_crops_use_the_draws_of_the_crop_alone(images, folder, kind):
    """A flip that shared a draw with the crop would see one side of images only."""
    augmentation = Recipe((0.2, 0.5), (Step(random_flip, num_draws=1),))
    source = from_arrays(ARRAYS) if kind == "memory" else load_folder(folder)
    images = ARRAYS if kind == "memory" else images
    ((views, indices),) = make_train_dataset(
        source, augmentation, 4, 20, SEED, num_epochs=3, first_epoch=2
    )
    all_draws = augmentation.draws(SEED, 2, indices)
    for view, index, draws in zip(views, indices, all_draws, strict=True):
        image = images[int(index)]
        top, left, height, width = random_box(
            draws[:NUM_DRAWS], *image.shape[:2], augmentation.crop_scale
        )
        part = image[top : top + height, left : left + width]
        expected = tf.image.resize(part, [4, 4]).numpy()
        if draws[NUM_DRAWS] < 0.5:
            expected = expected[:, ::-1]
        # Rounded; where that is a tie, float32's last bit decides.
        np.testing.assert_allclose(view, expected, atol=0.5 + 1e-3)


def test_small_images_in_memory_are_cropped_as_larger_ones_one_by_one(monkeypatch):
    together = train_batches(from_arrays(ARRAYS), "moco_v2")
    monkeypatch.setattr(pipeline, "LARGEST_SMALL", 5)
    alone = train_batches(from_arrays(ARRAYS), "moco_v2")
    for batch, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(batch[1], other[1])
        np.testing.assert_allclose(batch[0].astype(int), other[0], atol=1)


@pytest.mark.parametrize("name", ["moco_v2", "affine"])
def test_parallel_equals_serial(load_source, name):
    dataset = make_train_dataset(
        load_source(), build_augmentation(name), 4, BATCH, SEED, 1
    )
    serial = tf.data.Options()
    serial.autotune.enabled = False
    serial.threading.private_threadpool_size = 1
    serial.threading.max_intra_op_parallelism = 1
    assert_same(
        list(dataset.as_numpy_iterator()),
        list(dataset.with_options(serial).as_numpy_iterator()),
    )


def test_another_seed_gives_other_orders_and_views():
    source = from_arrays(ARRAYS)
    (images, indices), *_ = train_batches(source, seed=1)
    (other_images, other_indices), *_ = train_batches(source, seed=2)
    assert indices.tolist() != other_indices.tolist()
    assert (images != other_images).any()


def test_batches_know_their_shape(load_source):
    source = load_source()
    dataset = make_train_dataset(source, build_augmentation("npid"), 4, BATCH, 0, 1)
    images, indices = dataset.element_spec
    assert (images.shape, images.dtype) == ((BATCH, 4, 4, 3), tf.uint8)
    assert (indices.shape, indices.dtype) == ((BATCH,), tf.int64)
    images, _ = make_eval_dataset(source, 4, BATCH).element_spec
    assert images.shape.as_list() == [None, 4, 4, 3]


def test_crop_fraction_reaches_the_images():
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    source = from_arrays(image)
    ((evaluated, _),) = make_eval_dataset(source, 14, 1, crop_fraction=0.875)
    ((trained, _),) = make_train_dataset(
        source, build_augmentation("none"), 14, 1, 0, 1, crop_fraction=0.875
    )
    np.testing.assert_array_equal(evaluated, image[:, 1:15, 1:15])
    np.testing.assert_array_equal(trained, evaluated)


def test_a_batch_larger_than_the_data_is_refused():
    source = from_arrays(np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="batch_size=4, 3 images"):
        make_train_dataset(source, build_augmentation("none"), 4, 4, 0, 1)
    whole = make_train_dataset(source, build_augmentation("none"), 4, 3, 0, 2)
    assert len(list(whole)) == 2
