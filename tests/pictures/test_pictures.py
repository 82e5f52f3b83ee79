"""Pictures of what was exported and of what came since, and what is never opened."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.sources.arrays import from_arrays
from npid_tf.pictures import exported as exported_module
from npid_tf.pictures.exported import (
    ExportedFiles,
    ExportedRows,
    describe_pictures,
    exported_pictures,
)
from npid_tf.pictures.pictures import Pictures, begin_pictures, pictures_of_milvus
from npid_tf.pictures.store import Known, PictureStore


def write_image(path, seed):
    image = np.random.default_rng(seed).integers(0, 256, [9, 7, 3], np.uint8)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(tf.io.encode_png(image).numpy())
    return image


@pytest.fixture
def photos(tmp_path):
    """A folder of three images: (folder, the image of each)."""
    folder = str(tmp_path / "photos")
    names = ("a.png", "trip/b.png", "c.png")
    return folder, {
        f"photos/{name}": write_image(f"{folder}/{name}", seed)
        for seed, name in enumerate(names)
    }


def test_each_picture_needs_its_own_file_alone(photos, tmp_path):
    folder, images = photos
    files = ExportedFiles(images, str(tmp_path))
    os.remove(f"{folder}/a.png")
    write_image(f"{folder}/new.png", 5)
    changed = write_image(f"{folder}/c.png", 6)
    assert [files.has(name) for name in images] == [False, True, True]
    assert files.picture("photos/a.png") is None
    for name, image in (("photos/trip/b.png", images["photos/trip/b.png"]),
                        ("photos/c.png", changed)):  # fmt: skip
        np.testing.assert_array_equal(tf.io.decode_png(files.picture(name)), image)
    later = write_image(f"{folder}/c.png", 7)  # What is kept is of the file as it was.
    os.utime(f"{folder}/c.png", (1, 1))
    np.testing.assert_array_equal(
        tf.io.decode_png(files.picture("photos/c.png")), later
    )


def test_an_id_that_was_not_exported_opens_nothing(photos, tmp_path, monkeypatch):
    folder, _ = photos
    write_image(f"{folder}/new.png", 5)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text.png").write_text("no image")
    files = ExportedFiles(["photos/a.png", "pipe", "text.png", "photos"], str(tmp_path))
    pictures = Pictures(PictureStore(str(tmp_path / "pictures.sqlite")), files)
    opened = []
    monkeypatch.setattr(
        exported_module, "_picture_of_file", lambda path, *_: opened.append(path)
    )
    for name in ("photos/new.png", f"{folder}/a.png", "./photos/a.png", "x/../pipe",
                 f"{folder}/new.png", "pipe", "photos", "a\0b"):  # fmt: skip
        assert pictures.having([name]) == set(), name
        assert pictures.picture(name) is None, name
    assert opened == []
    pictures.picture("photos/a.png")
    assert opened == [f"{folder}/a.png"]
    monkeypatch.undo()
    assert pictures.picture("text.png") is None


def test_other_data_are_opened_once_when_they_are_asked_for():
    images = np.random.default_rng(0).integers(0, 256, [3, 6, 5, 3], np.uint8)
    opened = []

    def open_source(data):
        opened.append(data)
        time.sleep(0.05)  # Others ask meanwhile.
        return from_arrays(images)

    manifest = {"data": {"dataset": "npz:x"}, "pictures": {"kind": "rows"}}
    rows = exported_pictures(manifest, range(4), open_source)
    assert [rows.has(name) for name in ("2", "7", "-1", "../2")] == [True] + 3 * [False]
    assert opened == []
    with ThreadPoolExecutor(3) as pool:
        shown = list(pool.map(rows.picture, "012"))
    for image, data in zip(images, shown, strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(data), image)
    assert rows.picture("2") is rows.picture("2")
    assert rows.picture("3") is None and rows.picture("7") is None
    assert opened == [{"dataset": "npz:x"}]
    source = from_arrays(images)
    source.paths = ["x.zip/b.png", "x.zip/a.png", "x.zip/c.png"]  # As it is now.
    rows = ExportedRows(["x.zip/a.png", "x.zip/gone.png"], lambda: source)
    np.testing.assert_array_equal(
        tf.io.decode_png(rows.picture("x.zip/a.png")), images[1]
    )
    assert rows.picture("x.zip/gone.png") is rows.picture("x.zip/b.png") is None


def test_data_that_are_gone_have_no_pictures():
    rows = ExportedRows(range(3), lambda: None)
    assert rows.has("1")
    assert rows.picture("1") is None
    assert not rows.has("1")
    for manifest in ({"n": 3}, {"data": {"embeddings": "of/a/file.npz"}}):
        assert not exported_pictures(manifest, ["1"], None).has("1")


def test_exports_of_before_tell_by_their_data(photos, tmp_path, monkeypatch):
    _, images = photos
    monkeypatch.chdir(tmp_path)
    for dataset in ("folder:photos", "photos"):
        old = exported_pictures({"data": {"dataset": dataset}}, images, None)
        assert old.has("photos/a.png") and not old.has("photos/z.png")
    old = exported_pictures({"data": {"dataset": "digits"}}, range(3), len)
    assert isinstance(old, ExportedRows)


def test_what_is_known_since_goes_before_the_export(photos, tmp_path):
    folder, images = photos
    store = PictureStore(str(tmp_path / "pictures.sqlite"))
    pictures = Pictures(store, ExportedFiles(images, str(tmp_path)))
    pictures.before_change(["photos/a.png", "new"])
    assert store.names() == {"photos/a.png"}  # That of "new" cannot be a wrong one.
    assert pictures.having([*images, "new"]) == set(images) - {"photos/a.png"}
    store.put({"new": Known(picture=b"small"), "file": Known(f"{folder}/c.png")})
    assert pictures.having(["new", "file", "other"]) == {"new", "file"}
    assert pictures.picture("new") == b"small"
    image = tf.io.decode_png(pictures.picture("file"))
    np.testing.assert_array_equal(image, images["photos/c.png"])
    assert set(pictures.names()) == {*images, "new", "file"}
    store.close()


def test_of_an_index_elsewhere_the_store_tells_which_ids_are_files(
    photos, tmp_path, monkeypatch
):
    _, images = photos
    monkeypatch.chdir(tmp_path)
    source = from_arrays(np.zeros([3, 2, 2, 3], np.uint8))
    assert describe_pictures(source.paths, 1.5)["kind"] == "rows"
    source.paths = list(images)
    manifest = {"n": 3, "data": {"dataset": "photos"}}
    manifest["pictures"] = describe_pictures(source.paths, 1.5)
    assert manifest["pictures"] == {
        "kind": "files", "folder": str(tmp_path), "read_at": 1.5
    }  # fmt: skip
    PictureStore(str(tmp_path / "pictures.sqlite")).put({"old": Known(picture=b"x")})
    begin_pictures(str(tmp_path), manifest, source.paths)
    monkeypatch.chdir("/")
    pictures = pictures_of_milvus(str(tmp_path), manifest, None)
    assert not pictures.exported.names
    assert pictures.having([*images, "old", "0"]) == set(images)
    del manifest["pictures"]  # Of before: the source itself is asked.
    monkeypatch.chdir(tmp_path)
    os.remove("pictures.sqlite")
    pictures = pictures_of_milvus(str(tmp_path), manifest, lambda data: source)
    assert pictures.having([*images, "0"]) == set(images)
