"""Folders of images keep their indices, and say what is wrong with them."""

import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.sources.image_folder import load_folder


def write_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(image).numpy())


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of `folder` that a test may change."""
    return shutil.copytree(folder, tmp_path / "data")


def test_records_are_the_files_in_the_order_of_their_names(folder, images):
    source = load_folder(folder)
    assert source.num_instances == len(images)
    for (index, handle), path in zip(source.in_order(), source.paths, strict=True):
        record = source.record(handle)
        assert record == pathlib.Path(path).read_bytes()
        np.testing.assert_array_equal(tf.io.decode_png(record), images[index])


def test_shuffled_records_keep_their_index(folder, images):
    source = load_folder(folder)
    for index, handle in source.shuffled(1, 2):
        decoded = tf.io.decode_png(source.record(handle))
        np.testing.assert_array_equal(decoded, images[index])


def test_a_flat_folder_has_no_labels(folder):
    source = load_folder(folder)
    assert source.labels is None
    assert source.class_names is None


def test_sub_folders_are_classes(tmp_path, images):
    for number, name in enumerate(["b/1.png", "a c/x/2.PNG", "b/0.png", "é/3.png"]):
        write_png(tmp_path / name, images[number])
    (tmp_path / "readme.txt").write_text("no image")
    (tmp_path / "b" / ".hidden.png").write_text("no image")
    source = load_folder(str(tmp_path))
    assert [os.path.relpath(path, tmp_path) for path in source.paths] == [
        "a c/x/2.PNG",
        "b/0.png",
        "b/1.png",
        "é/3.png",
    ]
    assert source.class_names == ("a c", "b", "é")
    assert source.labels.tolist() == [0, 1, 1, 2]


def test_a_class_has_the_same_number_in_every_part(tmp_path, images):
    for number, name in enumerate(["a/0.png", "b/1.png", "c/2.png", "c/3.png"]):
        write_png(tmp_path / name, images[number])
    source = load_folder(tmp_path, split="train[50%:]")
    assert source.labels.tolist() == [2, 2]
    assert source.class_names == ("a", "b", "c")
    assert [os.path.basename(path) for path in source.paths] == ["2.png", "3.png"]


def test_images_beside_sub_folders_have_no_labels(tmp_path, images):
    write_png(tmp_path / "a" / "0.png", images[0])
    write_png(tmp_path / "1.png", images[1])
    assert load_folder(tmp_path).labels is None


def test_an_empty_part_is_refused(folder):
    with pytest.raises(ValueError, match="holds no images"):
        load_folder(folder, split="train[:1%]")


def test_a_second_load_gives_the_same_indices(copied):
    first, second = load_folder(copied), load_folder(copied)
    assert (first.paths, first.fingerprint) == (second.paths, second.fingerprint)


def break_two(directory):
    (directory / "02 ü.png").write_bytes(b"")
    (directory / "07 ü.png").write_bytes(b"no image at all")


def test_files_that_do_not_decode_are_named(copied):
    break_two(copied)
    with pytest.raises(ValueError, match=r"2 of 20 files.*02 ü.png, 07 ü.png.*--skip"):
        load_folder(copied)


def test_skipped_files_stay_out_and_are_reported_at_every_load(copied, images, capsys):
    break_two(copied)
    good = [image for i, image in enumerate(images) if i not in (2, 7)]
    for _ in "12":
        source = load_folder(copied, skip_corrupt=True)
        printed = capsys.readouterr().out
        assert "Left out 2 files" in printed
        assert "02 ü.png, 07 ü.png" in printed
        assert source.num_instances == 18
        assert source.manifest["corrupt"] == ["02 ü.png", "07 ü.png"]
        for index, handle in source.in_order():
            decoded = tf.io.decode_png(source.record(handle))
            np.testing.assert_array_equal(decoded, good[index])


def test_a_folder_of_broken_files_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"No file in .* decodes"):
        load_folder(tmp_path, skip_corrupt=True)


def test_a_link_to_nowhere_does_not_decode(copied):
    directory = copied
    (directory / "lost.png").symlink_to(directory / "absent.png")
    with pytest.raises(ValueError, match=r"1 of 21 files.*lost\.png"):
        load_folder(directory)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"No folder .*absent"):
        load_folder(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"No images in .*\.jpg, .*\.gif"):
        load_folder(tmp_path)


def test_an_unreadable_sub_folder_is_named(copied):
    if os.geteuid() == 0:
        pytest.skip("root reads every folder")
    directory = copied
    closed = directory / "closed"
    closed.mkdir(mode=0)
    with pytest.raises(ValueError, match=r"Cannot read .*closed: Permission denied"):
        load_folder(directory)


def test_linked_classes_are_read(tmp_path, images):
    write_png(tmp_path / "elsewhere" / "0.png", images[0])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ant").symlink_to(tmp_path / "elsewhere")
    source = load_folder(tmp_path / "data")
    assert (source.num_instances, source.class_names) == (1, ("ant",))


def test_a_folder_that_links_to_itself_is_read_once(copied, capsys):
    directory = copied
    (directory / "loop").symlink_to(directory)
    source = load_folder(directory)
    assert source.num_instances == 20
    (left_out,) = source.left_out
    assert left_out.path == str(directory / "loop")
    assert "folders that are there already" in capsys.readouterr().out
