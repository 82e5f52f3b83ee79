"""Of a folder every file is an image of the data, or is told of as left out."""

import os
import sys

import pytest

from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.places import list_images
from npid_tf.data.sources.places.listing import in_words


def left_out(folder):
    """{path below the folder: why} of what is left out."""
    listing = list_images(folder)
    return {os.path.relpath(e.path, folder): e.kind for e in listing.left_out}


def test_every_file_that_is_no_image_is_counted_by_its_kind(trip, put, capsys):
    folder, _ = trip
    for name in ("a.mp4", "b.MP4", "sea/c.txt", "notes"):
        put(folder / name, b"x")
    assert left_out(folder) == {
        "a.mp4": ".mp4 files",
        "b.MP4": ".mp4 files",
        "sea/c.txt": ".txt files",
        "notes": "files without an extension",
    }
    source = load_folder(folder)
    assert source.num_instances == 4
    printed = capsys.readouterr().out
    assert "Left out 2 .mp4 files, 1 " in printed
    assert len(source.left_out) == 4


def test_each_kind_of_image_is_listed(tmp_path, put):
    names = ["1.jpg", "2.WEBP", "3.tif", "4.jfif", "5.avif", "6.jp2", "7.ppm"]
    for name in names:
        put(tmp_path / name, b"not looked into here")
    assert list(list_images(tmp_path).items) == names


@pytest.mark.parametrize(
    "name", [".thumbnails", ".ipynb_checkpoints", "@eaDir", "#recycle", "__MACOSX",
             "lost+found", "$RECYCLE.BIN", "@Recycle"],
)  # fmt: skip
def test_folders_of_the_system_are_no_class(trip, put, name):
    folder, images = trip
    put(folder / "sea" / name / "9.png")
    put(folder / name / "9.png")
    listing = list_images(folder)
    assert list(listing.items) == list(images)
    assert set(left_out(folder)) == {name, f"sea/{name}"}
    assert load_folder(folder).class_names == ("sea", "wood")


def test_hidden_and_apples_double_files_are_left_out(trip, put):
    folder, images = trip
    for name in (".hidden.png", "._1.png", "Thumbs.db", ".DS_Store"):
        put(folder / "sea" / name)
    assert len(left_out(folder)) == 4
    assert list(list_images(folder).items) == list(images)


def test_a_hidden_folder_may_be_the_one_that_is_asked_for(tmp_path, put):
    put(tmp_path / ".cache" / "1.png")
    assert list(list_images(tmp_path / ".cache").items) == ["1.png"]


def test_a_link_to_a_class_that_is_there_is_left_out(trip):
    folder, images = trip
    (folder / "a link that sorts first").symlink_to(folder / "wood")
    assert list(list_images(folder).items) == list(images)
    (kind,) = left_out(folder).values()
    assert "already" in kind


def test_a_deep_link_gives_way_to_the_folder_itself(trip):
    folder, images = trip
    (folder / "sea" / "deep" / "up").symlink_to(folder / "wood")
    assert list(list_images(folder).items) == list(images)


def test_heic_without_its_package_is_left_out(trip, put, monkeypatch):
    folder, _ = trip
    put(folder / "sea" / "5.HEIC", b"x")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (kind,) = left_out(folder).values()
    assert kind == ".heic files, which need `pip install npid_tf[heif]`"


def test_broken_files_are_told_with_the_reason(trip, put, capsys):
    folder, images = trip
    put(folder / "sea" / "empty.png", b"")
    put(folder / "sea" / "cut.png", images["sea/1.png"][:-30])
    with pytest.raises(ValueError, match=r"2 of 6 files .*sea/cut\.png, sea/empty\.pn"):
        load_folder(folder)
    source = load_folder(folder, skip_corrupt=True)
    reasons = {each.path: each.detail for each in source.left_out}
    assert reasons[f"{folder}/sea/empty.png"] == "it is empty"
    reason = reasons[f"{folder}/sea/cut.png"]
    assert reason and "{{" not in reason and "[Op" not in reason
    assert "2 files that do not decode" in capsys.readouterr().out


def test_names_of_any_bytes_are_names(tmp_path, put):
    name = os.fsdecode(b"caf\xe9 \xff\n.png")  # Latin-1, and a line break.
    put(tmp_path / "data" / os.fsdecode(b"d\xe9j\xe0") / name, 7)
    (tmp_path / "run").mkdir()
    arguments = {
        "tables": str(tmp_path / "run" / "contents"),
    }
    for _ in "12":  # Read, and read of the table.
        source = load_folder(tmp_path / "data", **arguments)
        ((_index, handle),) = source.in_order()
        with open(source.paths[0], "rb") as file:
            assert source.record(handle) == file.read()
    assert source.class_names == (os.fsdecode(b"d\xe9j\xe0"),)


def test_long_lists_of_kinds_end_in_a_number(tmp_path, put):
    put(tmp_path / "1.png")
    for number in range(20):
        put(tmp_path / f"x.k{number}", b"")
    told = in_words(list_images(tmp_path).left_out)
    assert told.endswith(", 8 of other kinds")


def test_a_pipe_is_not_waited_for(trip):
    folder, images = trip
    os.mkfifo(folder / "sea" / "pipe.png")
    assert list(list_images(folder).items) == list(images)
    assert "no plain files" in left_out(folder)["sea/pipe.png"]
