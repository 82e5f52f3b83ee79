"""An index follows a folder: by contents, and no file is embedded without need."""

import contextlib
import json
import os
import pathlib
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.pictures.exported import write_digests
from npid_tf.pictures.pictures import pictures_of_folder
from npid_tf.runs.index import commands, item_files
from npid_tf.runs.index import sync as sync_module
from npid_tf.runs.index.commands import add, remove, sync
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.segment import build_segment


def embedding_of(path):
    """Of its pixels: float32 [27], unit length."""
    pixels = tf.io.decode_png(tf.io.read_file(path)).numpy().ravel()
    return (pixels / np.linalg.norm(pixels.astype(float))).astype(np.float32)


@pytest.fixture
def embedded(monkeypatch):
    """The paths that were embedded, in place of an encoder."""
    paths = []

    def embed_files(encoder, some):
        good = [path for path in some if pathlib.Path(path).read_bytes() != b"bad"]
        paths.extend(good)
        rows = [embedding_of(path) for path in good]
        bad = {path: f"{path} is bad." for path in set(some) - set(good)}
        return np.reshape(rows, [-1, 27]), good, bad

    monkeypatch.setattr(item_files, "embed_files", embed_files)
    for module in (commands, sync_module):
        monkeypatch.setattr(module, "load_encoder", lambda *_: None)
    return paths


def write_image(path, seed):
    pixels = np.random.default_rng(seed).integers(1, 256, [3, 3, 3], np.uint8)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(tf.io.encode_png(pixels).numpy())


@pytest.fixture
def export_dir(tmp_path, monkeypatch):
    """An export of photos/{0..3}.png of the folder that is the current one, with the
    labels a and b, and of an item that is no file."""
    monkeypatch.chdir(tmp_path)
    paths = [f"photos/{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        write_image(path, number)
    directory = "export/index"
    os.makedirs(directory)
    vectors = np.stack([embedding_of(path) for path in [*paths, paths[0]]])
    like = {"encoder_hash": "x", "settings": {"dtype": "float32"},
            "recall": {"k": 2, "target": 0.9}}  # fmt: skip
    build_segment(directory, vectors, [*paths, "no file"], [*"abab", None], like)
    time.sleep(0.02)  # Clocks of file systems tick.
    with open(f"{directory}/manifest.json", encoding="utf-8") as file:
        manifest = json.load(file)
    manifest["data"] = {"dataset": "folder:photos"}
    manifest["pictures"] = {
        "kind": "files", "folder": str(tmp_path), "read_at": time.time()
    }  # fmt: skip
    with open(f"{directory}/manifest.json", "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    time.sleep(0.02)
    return "export"


def check_items(export_dir, names):
    """That the index holds these, each with its file's embedding and picture."""
    with contextlib.closing(LiveIndex(f"{export_dir}/index", read_only=True)) as index:
        assert set(index.ids()) == {*names, "no file"}
        for name in names:
            np.testing.assert_allclose(
                index.embeddings([name])[0], embedding_of(name), atol=1e-6
            )
        labels = dict(zip(names, index.labels(names), strict=True))
    pictures = pictures_of_folder(f"{export_dir}/index", None)
    for name in names:
        with open(name, "rb") as file:
            assert pictures.picture(name) == file.read(), name
    return labels


def told(capsys):
    return capsys.readouterr().out.splitlines()[-1]


def test_a_folder_as_it_was_exported_is_left_alone(export_dir, embedded, capsys):
    sync(export_dir, ["photos"])
    assert told(capsys) == (
        "photos: 0 added, 0 replaced, 0 renamed, 0 removed, 4 unchanged; the index "
        "holds 5."
    )
    assert embedded == []


def test_added_changed_renamed_and_removed_files_are_followed(
    export_dir, embedded, capsys
):
    write_digests(f"{export_dir}/index", {
        f"photos/{n}.png": item_files.digest_of_file(f"photos/{n}.png")
        for n in range(4)
    })  # fmt: skip
    write_image("photos/trip/new.png", 7)
    write_image("photos/1.png", 8)
    os.rename("photos/2.png", "photos/trip/two.png")
    os.remove("photos/3.png")
    write_image("other/a.png", 9)
    add(export_dir, ["other/a.png"])
    capsys.readouterr()
    sync(export_dir, ["./photos/"])
    assert told(capsys) == (
        "./photos/: 1 added, 1 replaced, 1 renamed, 1 removed, 1 unchanged; the index "
        "holds 6."
    )
    assert sorted(embedded) == [
        "./photos/trip/new.png", os.path.abspath("photos/1.png"), "other/a.png"
    ]  # fmt: skip
    names = ["photos/0.png", "photos/1.png", "./photos/trip/two.png",
             "./photos/trip/new.png", "other/a.png"]  # fmt: skip
    labels = check_items(export_dir, names)
    assert list(labels.values()) == ["a", "b", "a", None, None]

    # Added items are followed as exported ones are, and nothing is embedded twice.
    embedded.clear()
    os.rename("photos/trip/new.png", "photos/newer.png")
    os.utime("photos/1.png", (1, 1))
    shutil.copy("photos/0.png", "photos/trip/two.png")
    sync(export_dir, ["photos"])
    assert "0 added, 1 replaced, 1 renamed, 0 removed, 2 unchanged" in told(capsys)
    assert embedded == [os.path.abspath("photos/trip/two.png")]
    check_items(export_dir, [*names[:3], "photos/newer.png", "other/a.png"])
    embedded.clear()
    sync(export_dir, ["photos"])
    assert "0 added, 0 replaced, 0 renamed, 0 removed, 4 unchanged" in told(capsys)
    assert embedded == []


def test_a_sync_that_was_interrupted_goes_on(export_dir, embedded, capsys, monkeypatch):
    monkeypatch.setattr(item_files, "AT_ONCE", 2)
    for number in range(4):
        write_image(f"photos/new {number}.png", 10 + number)
    write_image("photos/0.png", 20)
    real = item_files.keep_files
    calls = []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(item_files, "keep_files", stop)
    with pytest.raises(KeyboardInterrupt):
        sync(export_dir, ["photos"])
    monkeypatch.setattr(item_files, "keep_files", real)
    assert len(embedded) == 4
    sync(export_dir, ["photos"])
    # Two were embedded, but not noted: these again, and the last.
    assert len(embedded) == 4 + 3
    names = [f"photos/{n}.png" for n in range(4)]
    check_items(export_dir, names + [f"photos/new {n}.png" for n in range(4)])


def test_bad_files_are_named_and_the_rest_is_done(export_dir, embedded, capsys):
    for name in ("photos/1.png", "photos/bad.png"):
        with open(name, "wb") as file:
            file.write(b"bad")
    os.remove("photos/3.png")
    with pytest.raises(ValueError, match=r"(?s)2 files are not in the index:.*bad.png"):
        sync(export_dir, ["photos"])
    assert "0 added, 0 replaced, 0 renamed, 2 removed, 2 unchanged" in told(capsys)
    check_items(export_dir, ["photos/0.png", "photos/2.png"])


def test_an_empty_folder_may_not_be_mounted_and_is_refused(export_dir, embedded):
    shutil.rmtree("photos")
    for names in (["photos"], [], ["a", "b"], ["export/index/manifest.json"]):
        with pytest.raises(ValueError, match="`sync` needs one folder"):
            sync(export_dir, names)
    os.mkdir("photos")
    with pytest.raises(ValueError, match="No images in photos"):
        sync(export_dir, ["photos"])
    with contextlib.closing(LiveIndex(f"{export_dir}/index")) as index:
        assert len(index) == 5


def test_what_is_removed_has_no_picture_left(export_dir, embedded):
    add(export_dir, ["photos/0.png"])
    remove(export_dir, ["photos/0.png"])
    pictures = pictures_of_folder(f"{export_dir}/index", None)
    assert not pictures.store.names()
