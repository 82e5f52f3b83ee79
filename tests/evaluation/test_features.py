"""Vectors on disk: computed once, and the same after an interruption."""

import os

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.pipeline import make_eval_dataset
from npid_tf.data.sources.arrays import from_arrays
from npid_tf.errors import UserError
from npid_tf.evaluation import features
from npid_tf.evaluation.features import cached_features, feature_directory

IMAGES = np.random.default_rng(0).integers(0, 256, [700, 2, 2, 3], np.uint8)
SOURCE = from_arrays(IMAGES)


def make_dataset(first):
    return make_eval_dataset(SOURCE, 2, 100, first=first)


class Colors:
    """Means (3 numbers) and corners (6) of images, made anew for every computation."""

    def __init__(self, fails_after=None):
        self.asked = []
        self.num_batches = 0
        self.fails_after = fails_after

    def make(self, names):
        self.asked.append(names)

        def count():
            self.num_batches += 1
            if self.num_batches == self.fails_after:
                raise ValueError("switched off")

        def model(images, training):
            with tf.control_dependencies([tf.py_function(count, [], [])]):
                images = tf.cast(images, tf.float32)
            outputs = {
                "means": tf.reduce_mean(images, axis=[1, 2]),
                "corners": tf.concat([images[:, 0, 0], images[:, 1, 1]], axis=1),
            }
            return tuple(outputs[name] for name in names)

        return model


def compute(directory, colors, names=("means", "corners")):
    return cached_features(str(directory), names, colors.make, make_dataset, 700)


def test_rows_are_those_of_the_images(tmp_path):
    rows = compute(tmp_path, Colors())
    np.testing.assert_allclose(rows["means"], IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(
        rows["corners"], np.concatenate([IMAGES[:, 0, 0], IMAGES[:, 1, 1]], axis=1)
    )
    assert sorted(os.listdir(tmp_path)) == ["corners.npy", "means.npy"]


def test_fewer_images_than_a_batch_give_one_row_each(tmp_path):
    source = from_arrays(IMAGES[:5])
    rows = cached_features(
        str(tmp_path),
        ("means",),
        Colors().make,
        lambda first: make_eval_dataset(source, 2, 100, first=first),
        5,
    )
    np.testing.assert_allclose(rows["means"], IMAGES[:5].mean(axis=(1, 2)), rtol=1e-5)


def test_they_are_computed_once_and_later_layers_alone(tmp_path):
    compute(tmp_path, Colors(), ("means",))
    again = Colors()
    rows = compute(tmp_path, again, ("means",))
    assert again.asked == []
    assert isinstance(rows["means"], np.memmap)
    compute(tmp_path, again)
    assert again.asked == [["corners"]]


@pytest.mark.parametrize(
    ("limit", "value"),
    [("PART_BYTES", 1), ("PART_BYTES", 300 * 9 * 4), ("PART_ROWS", 300)],
)
def test_an_interrupted_computation_goes_on_and_ends_the_same(
    tmp_path, monkeypatch, limit, value
):
    monkeypatch.setattr(features, limit, value)
    whole = compute(tmp_path / "whole", Colors())
    with pytest.raises(tf.errors.OpError, match="switched off"):
        compute(tmp_path / "cut", Colors(fails_after=3))
    resumed = Colors()
    cut = compute(tmp_path / "cut", resumed)
    # Of the batches of 256, 256 and 188 the last alone is new: a part ends after one
    # or two.
    assert resumed.num_batches == 1
    for name in whole:
        np.testing.assert_array_equal(cut[name], whole[name])


def test_an_interruption_while_joining_costs_nothing(tmp_path):
    colors = Colors()
    with pytest.MonkeyPatch.context() as patch:
        open_memmap = np.lib.format.open_memmap

        def open_one(path, *arguments):
            if path.endswith("corners.npy"):
                raise OSError("No space left on device")
            return open_memmap(path, *arguments)

        patch.setattr(np.lib.format, "open_memmap", open_one)
        with pytest.raises(OSError, match=r"write features to .*No space"):
            compute(tmp_path, colors)
    batches = colors.num_batches
    rows = compute(tmp_path, colors)
    assert colors.num_batches == batches
    np.testing.assert_allclose(rows["means"], IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["corners.npy", "means.npy"]


def test_few_rows_are_in_memory_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "PART_BYTES", 1)
    written = []
    savez = np.savez
    monkeypatch.setattr(
        np, "savez", lambda path, **arrays: [written.append(len(a)) for a in
                                             arrays.values()] and savez(path, **arrays)
    )  # fmt: skip
    compute(tmp_path, Colors(), ("means",))
    assert written == [256, 256, 188]


def test_other_keys_have_other_folders(tmp_path):
    first = feature_directory(str(tmp_path), {"encoder": "a", "image_size": 32})
    assert first == feature_directory(str(tmp_path), {"image_size": 32, "encoder": "a"})
    assert first != feature_directory(str(tmp_path), {"encoder": "b", "image_size": 32})
    with open(os.path.join(first, "key.json")) as file:
        assert '"image_size": 32' in file.read()


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "flipped": flip,
    "cut": lambda content: content[:-30],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_vectors_are_said_and_computed_anew(tmp_path, damage, capsys):
    whole = {name: np.array(rows) for name, rows in compute(tmp_path, Colors()).items()}
    path = tmp_path / "means.npy"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    colors = Colors()
    again = compute(tmp_path, colors)
    assert colors.asked == [["means"]]
    assert f"{path} is " in capsys.readouterr().out
    for name in whole:
        np.testing.assert_array_equal(again[name], whole[name])


@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
def test_damaged_parts_are_said_and_computed_anew(
    tmp_path, damage, monkeypatch, capsys
):
    monkeypatch.setattr(features, "PART_ROWS", 100)
    whole = compute(tmp_path / "whole", Colors())
    with pytest.raises(tf.errors.OpError, match="switched off"):
        compute(tmp_path / "cut", Colors(fails_after=3))
    path = tmp_path / "cut" / "parts-means,corners" / f"{0:012d}.npz"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    again = compute(tmp_path / "cut", Colors())
    assert "is damaged" in capsys.readouterr().out
    for name in whole:
        np.testing.assert_array_equal(again[name], whole[name])


def test_vectors_of_a_newer_format_are_refused(tmp_path):
    compute(tmp_path, Colors())
    path = tmp_path / "means.npy"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 9'))
    with pytest.raises(UserError, match=r"format 9.*install a newer"):
        compute(tmp_path, Colors())


def test_vectors_that_do_not_fit_any_more_are_told_of(tmp_path, capsys):
    key = {"encoder": "a", "data": {"name": "x", "num_instances": 2}, "image_size": 8}
    first = feature_directory(str(tmp_path), key)
    assert not capsys.readouterr().out
    feature_directory(str(tmp_path), {**key, "image_size": 16})
    told = capsys.readouterr().out
    assert told.startswith(f"Not used: the vectors in {first} are of other image_size.")
