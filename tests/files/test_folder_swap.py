"""One of two folders is at a path at every moment, whichever way they are exchanged."""

import os

import pytest

from npid_tf.files import folder_swap
from npid_tf.files.folder_swap import before, put_folder, standing


def fill(folder, text):
    folder.mkdir()
    (folder / "it.txt").write_text(text)
    return str(folder)


def text_at(path):
    with open(os.path.join(standing(str(path)), "it.txt")) as file:
        return file.read()


@pytest.fixture(params=["at once", "by renaming"])
def way(request, monkeypatch):
    if request.param == "by renaming":
        monkeypatch.setattr(folder_swap, "_exchange", lambda one, other: False)
    return request.param


def test_the_new_folder_takes_the_place_of_the_old(tmp_path, way):
    path = tmp_path / "it"
    for text in ("first", "second", "third"):
        put_folder(fill(tmp_path / "new", text), str(path))
        assert text_at(path) == text
        assert os.listdir(tmp_path) == ["it"]


def test_linux_exchanges_them_in_one_step(tmp_path):
    one, other = fill(tmp_path / "one", "1"), fill(tmp_path / "other", "2")
    if not folder_swap._exchange(one, other):
        pytest.skip("Not on this system, or not on its file system.")
    assert (text_at(one), text_at(other)) == ("2", "1")


def test_what_was_set_aside_is_found_and_comes_back(tmp_path, monkeypatch):
    path = tmp_path / "it"
    fill(path, "old")
    os.rename(path, before(str(path)))  # A crash between the two renames.
    assert text_at(path) == "old"
    monkeypatch.setattr(folder_swap, "_exchange", lambda one, other: False)
    put_folder(fill(tmp_path / "new", "new"), str(path))
    assert text_at(path) == "new" and os.listdir(tmp_path) == ["it"]
    os.makedirs(before(str(path)))  # A crash before the last removal.
    folder_swap.recover(str(path))
    assert text_at(path) == "new" and os.listdir(tmp_path) == ["it"]


def test_a_folder_that_cannot_be_renamed_leaves_the_old(tmp_path, way, monkeypatch):
    path = tmp_path / "it"
    fill(path, "old")
    with pytest.raises(OSError):
        put_folder(str(tmp_path / "nowhere"), str(path))
    assert text_at(path) == "old" and path.exists()
