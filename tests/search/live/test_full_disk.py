"""A full disk: what does not fit is told of, nothing is lost, and it goes on after."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from npid_tf.errors import FileError
from npid_tf.files.folder_swap import standing
from npid_tf.saved_models.export_folder import new_export
from npid_tf.search.index_files import read_ids
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.reader import read_contents
from tests.support.vectors import unit_rows


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("Only root may mount a small disk.")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def directory(small_disk, make_index):
    """EXPORT/index on that disk, of 200 items."""
    source = pathlib.Path(make_index(200))
    shutil.copytree(source.parent, small_disk / "export")
    return str(small_disk / "export" / "index")


def fill(disk, leave=0):
    """Writes a file that takes all but some bytes; returns what frees them."""
    path = disk / "filler"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        size = os.fstat(file.fileno()).st_size
        file.truncate(max(0, size - leave))
    return path.unlink


def test_changes_on_a_full_disk_are_refused_and_none_is_lost(small_disk, directory):
    index = LiveIndex(directory)
    free = fill(small_disk, 8192)
    done = []
    with pytest.raises(FileError, match=r"Could not write .*No space left"):
        for number in range(1000):
            index.upsert([f"new {number}"], unit_rows(1, seed=number))
            done.append(f"new {number}")
    assert 0 < len(done) < 1000
    with pytest.raises(FileError):
        index.delete([str(n) for n in range(200)])
    assert set(index.ids()) == {str(n) for n in range(200)} | set(done)
    index.close()
    index = LiveIndex(directory)  # Which also goes on a full disk.
    assert len(index) == 200 + len(done)
    free()
    index.upsert(["last"], unit_rows(1))
    index.close()
    assert set(done) | {"last"} <= set(read_contents(directory).ids())


@pytest.mark.parametrize("leave", [0, 4096, 16384, 24576])
def test_a_compaction_on_a_full_disk_leaves_the_index(
    small_disk, directory, leave, monkeypatch
):
    if leave == 16384:  # NumPy writes the vectors, not ScaNN.
        monkeypatch.setitem(sys.modules, "scann", None)
    index = LiveIndex(directory)
    index.upsert(["new"], unit_rows(1, seed=1))
    index.delete(["3"])
    names = sorted(os.listdir(index._files.directory))
    free = fill(small_disk, leave)
    with pytest.raises(FileError, match="The index is as it was"):
        index.compact()
    assert sorted(os.listdir(index._files.directory)) == names
    assert "new" in index and "3" not in index
    free()
    index.upsert(["newer"], unit_rows(1, seed=2))
    index.compact()
    assert index.stats()["generation"] == 1 and len(index) == 201
    index.close()
    assert {"new", "newer"} <= set(read_contents(directory).ids())


def test_an_export_on_a_full_disk_leaves_the_former(small_disk, directory):
    export_dir = os.path.dirname(directory)
    before, free = read_ids(directory)[0], fill(small_disk, 12288)
    with (
        pytest.raises(OSError, match=r"No space left|9999 requested"),
        new_export(export_dir) as new,
    ):
        os.makedirs(os.path.join(new.partial, "index"))
        np.save(os.path.join(new.partial, "index", "dataset.npy"), np.zeros(9999))
        new.publish()
    assert read_ids(standing(directory))[0] == before
    assert sorted(os.listdir(export_dir)) == ["index"]
    free()
    with new_export(export_dir) as new:
        shutil.copytree(directory, os.path.join(new.partial, "index"))
        new.publish()
    assert read_ids(directory)[0] == before
