"""Files are replaced whole or left as they were."""

import pytest

from npid_tf.files.whole_files import open_whole, write_whole


def test_the_new_file_takes_the_place_of_the_old_at_the_end(tmp_path):
    path = tmp_path / "folder" / "it.txt"
    for text in ("first", "zweites: ä"):
        with open_whole(str(path)) as file:
            file.write(text)
            file.flush()
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text(encoding="utf-8") == text
    assert [file.name for file in path.parent.iterdir()] == ["it.txt"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "it.bin"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), open_whole(str(path), "wb") as file:
        file.write(b"half of the new one")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"


def test_a_text_is_written_whole(tmp_path):
    path = tmp_path / "it.txt"
    write_whole(str(path), "all of it")
    assert path.read_text() == "all of it"
