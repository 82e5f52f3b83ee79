"""Several places make one data set; a path with commas stays one."""

import pathlib
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.sources import Place, load_source
from npid_tf.data.sources.manifest import match
from npid_tf.data.sources.places import list_images, split_places
from npid_tf.errors import UserError


def records(source):
    return [bytes(source.record(handle).numpy()) for _, handle in source.in_order()]


def test_classes_of_several_places_are_shared(trip, tmp_path, put):
    folder, _images = trip
    put(tmp_path / "more" / "wood" / "3.png", 9)
    put(tmp_path / "more" / "city" / "5.png", 10)
    source = load_source(f"{folder},{tmp_path / 'more'}", "train", Place())
    assert source.class_names == ("city", "sea", "wood")
    assert source.labels.tolist() == [1, 1, 2, 2, 0, 2]
    assert source.paths[0] == f"{folder}/sea/1.png"
    assert records(source) == [pathlib.Path(p).read_bytes() for p in source.paths]


def test_one_folder_and_that_folder_twice_have_the_same_images(trip):
    folder, images = trip
    for places in (f"{folder},{folder}", f"{folder},{folder}/sea"):
        listing = list_images(places)
        assert len(listing.items) == len(images)
        assert [each.kind.split(",")[0] for each in listing.left_out] == [
            "folders that are there already"
        ]


@pytest.mark.parametrize("name", ["a,b", "a,b,c"])
def test_a_path_with_commas_that_is_there_is_one_place(tmp_path, put, name):
    put(tmp_path / name / "1.png")
    put(tmp_path / "x" / "2.png")
    text = f"{tmp_path / name},{tmp_path / 'x'}"
    assert split_places(text) == [str(tmp_path / name), str(tmp_path / "x")]
    source = load_source(text, "train", Place())
    assert source.num_instances == 2


def test_each_of_several_places_may_begin_with_a_tilde(tmp_path, put, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "a" / "1.png")
    put(tmp_path / "b" / "2.png")
    assert list(list_images("~/a,folder:~/b").items) == [
        f"{tmp_path}/a/1.png",
        f"{tmp_path}/b/2.png",
    ]


def test_unknown_places_are_refused_with_the_known_ones(tmp_path, put):
    with pytest.raises(UserError, match=r"No folder .*absent\..*FILE\.zip.*LIST\.txt"):
        list_images(tmp_path / "absent")
    file = put(tmp_path / "film.mp4", b"")
    with pytest.raises(UserError, match=r"film\.mp4 is no place.*FILE\.tar"):
        list_images(file)
    with pytest.raises(UserError, match=r"Unknown dataset 'nothing'.*npz:FILE.*hf:DIR"):
        load_source("nothing", "train", Place())
    put(tmp_path / "films" / "a.mp4", b"")
    with pytest.raises(UserError, match=r"No images in .*\.jpg.*Left out: 1 \.mp4"):
        list_images(tmp_path / "films")


def test_files_and_other_places_are_read_side_by_side(trip, tmp_path, put):
    folder, images = trip
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        file.write(put(tmp_path / "5.png", 5), "sea/5.png")
    source = load_source(f"{folder},{tmp_path}/z.zip", "train", Place())
    expected = [*images.values(), (tmp_path / "5.png").read_bytes()]
    # As in training: in a graph, in parallel.
    dataset = source.in_order().map(
        lambda index, handle: (index, source.record(handle)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    for index, record in dataset:
        assert record == expected[index]
    np.testing.assert_array_equal(source.labels, [0, 0, 1, 1, 0])


def test_rows_follow_the_images_when_a_place_is_added(trip, tmp_path, put):
    folder, _ = trip
    put(tmp_path / "more" / "wood" / "1.png", 9)
    before = load_source(str(folder), "train", Place()).manifest
    now = load_source(f"{tmp_path}/more,{folder}", "train", Place()).manifest
    matched = match(before, now)
    assert matched.number_now.tolist() == [1, 2, 3, 4]
    assert (matched.num_new, matched.num_gone) == (1, 0)
