"""Any number of readers beside one writer, and who writes after it."""

import multiprocessing
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from npid_tf import __file__ as FILE
from npid_tf.search.live import files as live_files
from npid_tf.search.live.files import InUseError
from npid_tf.search.live.index import LiveIndex, ReadOnlyError
from npid_tf.search.live.reader import read_contents
from tests.support.vectors import unit_rows


def replace_export(directory, make_index, **changed):
    """Another export in the place of that in `directory`: (n, labels, dtype)."""
    os.rename(directory, f"{directory}.old")
    return make_index(**changed)


@pytest.fixture
def writer(make_index):
    index = LiveIndex(make_index(20))
    yield index
    index.close()


def test_readers_find_what_the_writer_wrote_and_write_nothing(writer):
    live = writer._files.directory
    readers = [LiveIndex(writer._index_dir, read_only=True) for _ in range(3)]
    for generation in range(3):
        name = f"new {generation}"
        writer.upsert([name, "3"], unit_rows(2, seed=generation + 1), ["x", "y"])
        writer.delete([f"{generation + 5}"])
        before = {name: os.stat(f"{live}/{name}") for name in os.listdir(live)}
        for reader in readers:
            assert reader.read_only and not writer.read_only
            ids, similarities, _ = reader.search(unit_rows(1, seed=generation + 1), 1)
            assert ids == [[name]]
            np.testing.assert_allclose(similarities, 1, atol=1e-5)
            assert reader.ids() == writer.ids() and len(reader) == len(writer)
            assert reader.labels(["3"]) == ["y"]
            assert f"{generation + 5}" not in reader
            assert reader.stats()["generation"] == generation
            assert reader.stats()["log_changes"] == 2
        after = {name: os.stat(f"{live}/{name}") for name in os.listdir(live)}
        assert {n: s.st_mtime_ns for n, s in before.items()} == {
            n: s.st_mtime_ns for n, s in after.items()
        }
        writer.compact()


def test_a_reader_in_another_process_follows(writer):
    code = """if True:
        import sys, types
        package = types.ModuleType("npid_tf")
        package.__path__ = [sys.argv[2]]
        # Not TensorFlow, which takes seconds.
        sys.modules.update(npid_tf=package, scann=None, tensorflow=None)
        from npid_tf.search.live.index import LiveIndex
        index = LiveIndex(sys.argv[1], read_only=True)
        for line in sys.stdin:
            print(line.strip() in index, len(index), flush=True)
    """
    reader = subprocess.Popen(
        [sys.executable, "-c", code, writer._index_dir, os.path.dirname(FILE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with reader:
        for number in range(4):
            writer.upsert([f"new {number}"], unit_rows(1, seed=number))
            if number == 2:
                writer.compact()
            reader.stdin.write(f"new {number}\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == f"True {21 + number}\n"
        reader.stdin.close()


def test_a_reader_refuses_changes_and_says_why(make_index):
    directory = make_index(20)
    reader = LiveIndex(directory, read_only=True)
    for change in (
        lambda: reader.upsert(["a"], unit_rows(1)),
        lambda: reader.delete(["3"]),
        reader.compact,
    ):
        with pytest.raises(ReadOnlyError, match="only be read: it was opened with"):
            change()
    assert os.listdir(os.path.dirname(directory)) == ["index"]
    LiveIndex(directory).close()  # Nothing is locked.
    reader.close()


def test_a_folder_that_may_not_be_written_is_read_without_asking(make_index, tmp_path):
    directory = make_index(20)
    index = LiveIndex(directory)
    index.upsert(["new"], unit_rows(1, seed=1))
    index.close()
    place = tmp_path / "mounted"
    place.mkdir()
    mount = ["mount", "--bind", os.path.dirname(directory), str(place)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("Only root may mount, and to root no folder is read-only.")
    try:
        remount = ["mount", "-o", "remount,bind,ro", str(place)]
        subprocess.run(remount, check=True)
        reader = LiveIndex(str(place / "index"))
        assert reader.read_only and "new" in reader
        with pytest.raises(ReadOnlyError, match="Read-only file"):
            reader.delete(["3"])
        writer = LiveIndex(directory)
        writer.delete(["3"])
        assert "3" not in reader
        writer.close()
        reader.close()
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_folder_of_somebody_else_is_read_without_asking(make_index, monkeypatch):
    directory = make_index(20)

    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(live_files.os, "makedirs", refuse)
    reader = LiveIndex(directory)
    assert reader.read_only and len(reader) == 20


def test_one_that_reads_takes_over_when_the_writer_ends(writer):
    reader = LiveIndex(writer._index_dir, read_only=True)
    writer.upsert(["a"], unit_rows(1, seed=1))
    with pytest.raises(InUseError, match=f"Process {os.getpid()} has"):
        reader.take_over()
    assert reader.read_only and "a" in reader
    writer.upsert(["b"], unit_rows(1, seed=2))
    writer.close()
    reader.take_over()
    assert not reader.read_only and "b" in reader
    reader.upsert(["c"], unit_rows(1, seed=3))
    with pytest.raises(InUseError):
        LiveIndex(writer._index_dir)
    reader.close()
    assert {"a", "b", "c"} <= set(read_contents(writer._index_dir).ids())


def _hold(directory, ready, end):
    index = LiveIndex(directory)
    ready.set()
    end.wait()
    index.upsert(["last"], index.embeddings(["3"]))
    os._exit(0)  # As a process that is killed: nothing is closed.


def test_a_writer_that_died_is_followed_by_another(make_index):
    directory = make_index(20)
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(directory, ready, end))
    process.start()
    assert ready.wait(60)
    index = LiveIndex(directory, read_only=True)
    with pytest.raises(InUseError, match=f"Process {process.pid} has"):
        index.take_over()
    end.set()
    process.join(60)
    index.take_over()
    assert "last" in index and not index.read_only
    index.close()


def test_an_export_of_the_same_encoder_is_followed(writer, make_index):
    writer.upsert(["new"], unit_rows(1, seed=1))
    reader = LiveIndex(writer._index_dir, read_only=True)
    replace_export(writer._index_dir, make_index, n=20, labels=["again"] * 20)
    assert "new" in reader
    assert reader.labels(["5", "new"]) == ["again", None]


def test_an_export_of_another_encoder_is_not_followed_in_silence(make_index):
    directory = make_index(20)
    reader = LiveIndex(directory, read_only=True)
    replace_export(directory, make_index, n=25, encoder_hash="another")
    with pytest.warns(UserWarning, match="index of the encoder another, not of the en"):
        assert len(reader) == 20
    writer = LiveIndex(directory)
    writer.upsert(["new"], unit_rows(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # It is told once.
        assert len(reader) == 20 and "new" not in reader
    assert reader.encoder_hash == "the encoder's hash"
    writer.close()


def test_damage_that_comes_later_is_told_and_what_was_read_stays(writer):
    reader = LiveIndex(writer._index_dir, read_only=True)
    writer.upsert(["new"], unit_rows(1, seed=1))
    assert "new" in reader
    size = os.path.getsize(writer._files.log)
    writer.upsert(["newer"], unit_rows(1, seed=2))
    with open(writer._files.log, "r+b") as file:
        file.seek(size + 40)
        byte = file.read(1)[0]
        file.seek(size + 40)
        file.write(bytes([byte ^ 1]))
    with pytest.warns(UserWarning, match=r"changes-0.log is damaged"):
        assert "newer" not in reader and "new" in reader
