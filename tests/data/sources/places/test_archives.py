"""Archives are data sets as the folders that were packed are."""

import concurrent.futures
import io
import pathlib
import tarfile
import zipfile

import pytest
import tensorflow as tf

from npid_tf.data.sources.contents import naming_lost_files
from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.places import list_images
from npid_tf.errors import FileError, UserError


def pack_zip(path, folder, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for each in sorted(folder.rglob("*")):
            file.write(each, each.relative_to(folder))


def pack_tar(path, folder, mode="w"):
    with tarfile.open(path, mode) as file:
        file.add(folder, ".")  # As `tar c -C FOLDER .`: names begin with "./".


@pytest.fixture(params=["zip", "stored.zip", "tar"])
def archive(request, trip, tmp_path, put):
    """The images of `trip`, and what is to be left out, in an archive."""
    folder, _ = trip
    put(folder / "__MACOSX" / "sea" / "._1.png", b"x")
    put(folder / "__MACOSX" / "sea" / "._2.png", b"x")
    put(folder / "sea" / "notes.txt", b"x")
    path = tmp_path / f"trip.{request.param}"
    if request.param == "tar":
        pack_tar(path, folder)
    else:
        is_stored = request.param == "stored.zip"
        pack_zip(
            path, folder, zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
        )
    return path


def test_an_archive_has_the_images_and_classes_of_its_folder(archive, trip):
    folder, images = trip
    source, of_folder = load_folder(archive), load_folder(folder)
    assert source.paths == [f"{archive}/{name}" for name in images]
    assert source.class_names == of_folder.class_names
    assert source.labels.tolist() == of_folder.labels.tolist()
    assert source.fingerprint == of_folder.fingerprint
    assert [each.path for each in source.left_out] == [
        f"{archive}/__MACOSX",
        f"{archive}/sea/notes.txt",
    ]
    for index, handle in source.in_order():
        assert source.record(handle) == list(images.values())[index]


def test_threads_read_an_archive_at_once(archive, trip):
    _, images = trip
    items = list(list_images(archive).items.values()) * 50
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda item: item.read(), items))
    assert read == list(images.values()) * 50


def test_an_archive_that_did_not_change_is_not_read_again(archive, tmp_path):
    (tmp_path / "run").mkdir()
    tables = str(tmp_path / "run" / "contents")
    source = load_folder(archive, tables=tables)
    source.keep()
    (table,) = (tmp_path / "run" / "contents").iterdir()
    before = source.fingerprint
    table.write_text(table.read_text().replace('"0', '"f').replace('"1', '"e'))
    assert load_folder(archive, tables=tables).fingerprint != before


def test_an_archive_that_changes_while_it_is_read_is_named(trip, tmp_path):
    folder, _ = trip
    pack_tar(tmp_path / "trip.tar", folder)
    source = load_folder(tmp_path / "trip.tar")
    path = tmp_path / "trip.tar"
    path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(FileError, match=r"trip\.tar"), naming_lost_files():
        for _, handle in source.in_order():
            tf.io.decode_png(source.record(handle))


def test_compressed_tars_are_refused_with_what_to_do(trip, tmp_path):
    pack_tar(tmp_path / "trip.tar.gz", trip[0], "w:gz")
    with pytest.raises(FileError, match=r"trip\.tar\.gz is a compressed tar.*gunzip"):
        list_images(tmp_path / "trip.tar.gz")


@pytest.mark.parametrize("name", ["broken.zip", "broken.tar"])
def test_what_is_no_archive_is_named(tmp_path, put, name):
    put(tmp_path / name, b"nothing of the kind" * 100)
    with pytest.raises(FileError, match=rf"{name} cannot be read as an archive"):
        list_images(tmp_path / name)


def test_links_in_a_tar_are_read_or_told_of(trip, tmp_path):
    _folder, images = trip
    data = images["sea/1.png"]
    with tarfile.open(tmp_path / "l.tar", "w") as file:
        for name, kind, target in (
            ("a.png", tarfile.REGTYPE, ""),
            ("hard.png", tarfile.LNKTYPE, "a.png"),
            ("soft.png", tarfile.SYMTYPE, "a.png"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = 0 if target else len(data)
            file.addfile(member, io.BytesIO(data))
    listing = list_images(tmp_path / "l.tar")
    assert [item.read() for item in listing.items.values()] == [data, data]
    (told,) = listing.left_out
    assert pathlib.Path(told.path).name == "soft.png"


@pytest.mark.parametrize("method", [8, 12, 14], ids=["deflate", "bzip2", "lzma"])
def test_a_damaged_member_is_told_of_however_it_is_compressed(trip, tmp_path, method):
    path = tmp_path / "trip.zip"
    pack_zip(path, trip[0], method)
    with zipfile.ZipFile(path) as file:
        info = max(file.infolist(), key=lambda info: info.compress_size)
    data = bytearray(path.read_bytes())
    middle = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    data[middle : middle + 8] = bytes(8 * [0x5A])
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"1 of 4 files in .*trip\.zip do not decode"):
        load_folder(str(path))
