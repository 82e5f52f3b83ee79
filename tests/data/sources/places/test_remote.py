"""URLs are places, by fsspec."""

import pytest

from npid_tf.data.sources.image_folder import load_folder
from npid_tf.data.sources.places import list_images
from npid_tf.errors import FileError, UserError

fsspec = pytest.importorskip("fsspec", reason="The extra is missing: npid_tf[remote]")
URL = "memory://photos/trip"


@pytest.fixture
def bucket(trip):
    """The images of `trip` in fsspec's memory, with what is to be left out."""
    system = fsspec.filesystem("memory")
    for name, data in trip[1].items():
        system.pipe_file(f"/photos/trip/{name}", data)
    system.pipe_file("/photos/trip/.thumbnails/1.png", b"x")
    system.pipe_file("/photos/trip/readme.txt", b"x")
    yield system
    system.rm("/photos", recursive=True)


@pytest.mark.parametrize("url", [URL, f"{URL}/", f"simplecache::{URL}"])
def test_a_url_has_the_images_and_classes_of_its_folder(bucket, trip, url):
    folder, images = trip
    source = load_folder(url)
    assert source.paths == [f"{url.rstrip('/')}/{name}" for name in images]
    assert source.class_names == ("sea", "wood")
    assert source.fingerprint == load_folder(folder).fingerprint
    assert sorted(each.path.rpartition("/")[2] for each in source.left_out) == [
        ".thumbnails",
        "readme.txt",
    ]
    for index, handle in source.in_order():
        assert source.record(handle) == list(images.values())[index]


def test_what_changed_at_a_url_is_read_again_alone(bucket, tmp_path):
    (tmp_path / "run").mkdir()
    tables = str(tmp_path / "run" / "contents")
    source = load_folder(URL, tables=tables)
    source.keep()
    before = {key: item.times for key, item in list_images(URL).items.items()}
    other = bucket.cat_file("/photos/trip/sea/1.png")
    bucket.pipe_file("/photos/trip/wood/3.png", other)  # Of the same size.
    after = {key: item.times for key, item in list_images(URL).items.items()}
    assert [key for key in before if before[key] != after[key]] == ["wood/3.png"]
    assert load_folder(URL, tables=tables).fingerprint != source.fingerprint


def test_an_unknown_or_empty_url_is_told_of(bucket):
    with pytest.raises(FileError, match=r"nosuch://x cannot be read: .*nosuch"):
        list_images("nosuch://x")
    with pytest.raises(UserError, match="No images in memory://photos/none"):
        list_images("memory://photos/none")
