"""What files hold is told apart, and read again where it changed alone."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.source import check_unchanged
from npid_tf.errors import FileError, UserError


def bmp(value):
    """A BMP of one colour; all have the same size."""
    header = b"BM" + (54 + 48).to_bytes(4, "little") + bytes(4) + bytes([54, 0, 0, 0])
    header += (40).to_bytes(4, "little") + (4).to_bytes(4, "little") * 2
    return header + bytes([1, 0, 24, 0]) + bytes(24) + bytes([value] * 48)


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes of BMPs, and a workdir that is there."""
    for number in range(6):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bmp(10 * number))
    (tmp_path / "run").mkdir()
    return tmp_path / "photos"


def load(photos, **arguments):
    tables = str(photos.parent / "run" / "contents")
    return load_folder(str(photos), tables=tables, **arguments)


def edit_unseen(path, content):
    """Writes other bytes of the same size, and puts the time of change back."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_equal_names_and_sizes_are_no_equal_folders(photos, tmp_path):
    other = tmp_path / "other"
    for path in photos.rglob("*.bmp"):
        copy = other / path.relative_to(photos)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(bmp(200))
    first, second = load_folder(photos).fingerprint, load_folder(other).fingerprint
    assert first["sha256"] == second["sha256"]  # what was looked at before
    assert first != second


def test_a_photo_edited_in_place_is_seen(photos):
    first = load(photos).fingerprint
    edit_unseen(photos / "b" / "3.bmp", bmp(99))
    assert load(photos).fingerprint != first
    edit_unseen(photos / "b" / "3.bmp", bmp(30))
    assert load(photos).fingerprint == first


def test_what_did_not_change_is_not_read_again(photos):
    first = load(photos).fingerprint
    (path,) = (photos.parent / "run" / "contents").iterdir()
    table = json.loads(path.read_text())
    for entry in table["files"].values():
        entry[-1] = "told by the table"
    path.write_text(json.dumps(table))
    assert load(photos).fingerprint != first


def test_nothing_is_kept_where_there_is_no_run(photos, tmp_path):
    load_folder(photos, tables=str(tmp_path / "absent" / "contents"))
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"files": {"a": 1}}', b"\xff"]
)
def test_a_damaged_table_is_said_and_not_used(photos, content, capsys):
    first = load(photos).fingerprint
    (path,) = (photos.parent / "run" / "contents").iterdir()
    path.write_bytes(content)
    assert load(photos).fingerprint == first
    assert f"{path} is damaged" in capsys.readouterr().out


def test_a_table_of_a_newer_version_is_refused(photos):
    load(photos)
    (path,) = (photos.parent / "run" / "contents").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UserError, match=r"format 99.*install a newer"):
        load(photos)


def test_fingerprints_of_before_are_read(photos):
    fingerprint = load(photos).fingerprint
    before = {key: fingerprint[key] for key in ("name", "num_instances", "sha256")}
    check_unchanged(before, fingerprint)
    with pytest.raises(UserError, match="contents was"):
        check_unchanged(fingerprint, {**fingerprint, "contents": "others"})


@pytest.mark.parametrize("change", ["remove", "cut"])
def test_a_photo_lost_while_reading_is_named(photos, change):
    source = load(photos)
    lost = pathlib.Path(source.paths[4])
    if change == "remove":
        lost.unlink()
    else:
        lost.write_bytes(b"")
    dataset = source.in_order().map(
        lambda index, handle: tf.io.decode_bmp(source.record(handle))
    )
    with (
        pytest.raises(FileError, match=r"1 files .*b/3.bmp.*goes on from its last"),
        naming_lost_files(),
    ):
        list(dataset)


def test_other_failures_are_not_blamed_on_files(photos):
    load(photos)
    with pytest.raises(tf.errors.InvalidArgumentError), naming_lost_files():
        tf.io.decode_png(np.array(b"no image"))


def test_a_stray_picture_beside_classes_is_told_of(photos):
    (photos / "logo.bmp").write_bytes(bmp(1))
    with pytest.warns(
        UserWarning, match=r"1 lie beside its 2 sub-folders \(logo.bmp\)"
    ):
        assert load(photos).labels is None
