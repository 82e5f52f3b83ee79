"""Lists of files, in a file and on standard input."""

import io
import os
import types

import pytest

from npid_tf.data.sources import Place, load_source
from npid_tf.data.sources.places import file_list, list_images
from npid_tf.errors import UserError
from npid_tf.runs.train_flags import TrainFlags


def test_a_list_has_its_order_and_begins_where_it_lies(trip, tmp_path):
    _folder, images = trip
    names = ["trip/wood/4.png", "./trip/sea/1.png"]
    (tmp_path / "list.txt").write_text("\r\n".join(names) + "\n\n")
    source = load_source(str(tmp_path / "list.txt"), "train", Place())
    assert [bytes(source.record(h).numpy()) for _, h in source.in_order()] == [
        images["wood/4.png"],
        images["sea/1.png"],
    ]
    assert source.class_names == ("trip",)


def test_whole_paths_of_one_name_are_two_images_without_a_class(tmp_path, put):
    paths = [put(tmp_path / name / "1.png", 3) for name in "ab"]
    (tmp_path / "list.txt").write_text("\n".join(map(str, paths)))
    source = load_source(str(tmp_path / "list.txt"), "train", Place())
    assert source.paths == list(map(str, paths))
    assert source.labels is None


def test_zero_bytes_end_names_with_line_breaks(tmp_path, put):
    name = os.fsdecode(b"a\n\xff.png")
    put(tmp_path / name)
    (tmp_path / "list.txt").write_bytes(os.fsencode(name) + b"\0")
    assert [
        item.path for item in list_images(tmp_path / "list.txt").items.values()
    ] == [str(tmp_path / name)]


def test_what_a_list_names_is_looked_at_whatever_its_name(tmp_path, put, trip):
    put(tmp_path / "photo without an ending", 4)
    put(tmp_path / "text.png", b"no image")
    lines = ["photo without an ending", "text.png", "absent.png", "text.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"2 of 3 files .*text\.png.*absent\.png"):
        load_source(str(tmp_path / "list.txt"), "train", Place())
    source = load_source(str(tmp_path / "list.txt"), "train", Place(skip_corrupt=True))
    kinds = [each.kind for each in source.left_out]
    assert kinds == ["files named twice", *["files that do not decode"] * 2]
    assert "it is not there" in [each.detail for each in source.left_out]


def test_standard_input_may_name_the_files(tmp_path, put, monkeypatch):
    path = put(tmp_path / "1.png")
    data = io.BytesIO(os.fsencode(str(path)) + b"\n")
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=data))
    file_list._standard_input.cache_clear()
    for _ in "12":  # A program may ask twice.
        assert load_source("-", "train", Place()).paths == [str(path)]
    file_list._standard_input.cache_clear()


def test_an_empty_list_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(UserError, match=r"No files in .*list\.txt.*one path a line"):
        list_images(tmp_path / "list.txt")


@pytest.mark.parametrize("dataset", ["-", "photos,-"])
def test_a_run_does_not_learn_from_standard_input(dataset):
    with pytest.raises(UserError, match=r"standard input.*--dataset=LIST\.txt"):
        TrainFlags(dataset=dataset)
