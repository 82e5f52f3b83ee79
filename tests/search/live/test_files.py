"""Which files count, who may write them, and what is refused."""

import json
import os
import shutil

import numpy as np
import pytest

from npid_tf.search.changes import make_upsert
from npid_tf.search.live.files import LiveFiles
from npid_tf.search.live.index import LiveIndex
from npid_tf.search.live.reader import read_contents
from tests.support.vectors import unit_rows


def names_in(directory):
    return sorted(os.listdir(directory))


def test_reading_writes_nothing(make_index):
    directory = make_index(20)
    contents = read_contents(directory)
    assert len(contents) == 20
    assert names_in(os.path.dirname(directory)) == ["index"]


def test_reading_sees_the_changes_of_another_that_has_it_open(make_index):
    directory = make_index(20)
    index = LiveIndex(directory)
    for generation in range(2):
        index.upsert([f"new {generation}"], unit_rows(1, seed=1))
        before = names_in(f"{directory}.live")
        contents = read_contents(directory)
        assert sorted(contents.ids()) == sorted(index.ids())
        assert names_in(f"{directory}.live") == before
        index.compact()
    assert sorted(read_contents(directory).ids()) == sorted(index.ids())
    index.close()


def test_reading_while_a_compaction_swaps_reads_again(make_index, monkeypatch):
    directory = make_index(20)
    index = LiveIndex(directory)
    index.upsert(["new"], unit_rows(1, seed=1))
    load_segment, loads = LiveFiles.load_segment, []

    def compact_first(files):
        loads.append(files.manifest["generation"])
        if len(loads) == 1:
            monkeypatch.setattr(LiveFiles, "load_segment", load_segment)
            index.compact()  # What this reader was about to read has gone.
        return load_segment(files)

    monkeypatch.setattr(LiveFiles, "load_segment", compact_first)
    assert "new" in read_contents(directory)
    index.close()


def test_a_folder_without_an_index_is_refused_and_left_alone(tmp_path):
    with pytest.raises(ValueError, match=r"No index in .*npid_tf.export"):
        LiveFiles(str(tmp_path / "index"))
    assert not names_in(tmp_path)


def test_one_may_write_at_a_time(make_index):
    directory = make_index(20)
    index = LiveIndex(directory)
    with pytest.raises(ValueError, match=rf"Process {os.getpid()} has .* open"):
        LiveIndex(directory)
    index.close()
    LiveIndex(directory).close()


def test_a_folder_that_cannot_be_written_is_named(make_index):
    directory = make_index(20)
    os.makedirs(f"{directory}.live/lock")  # In the way.
    with pytest.raises(OSError, match=r"kept in .*index.live.*: "):
        LiveIndex(directory)


@pytest.fixture
def changed(make_index):
    """The folder of an index to which an item was added, twice compacted or not."""

    def make(compact):
        directory = make_index(20)
        index = LiveIndex(directory)
        index.upsert(["new"], unit_rows(1, seed=1))
        if compact:
            index.compact()
        index.close()
        return directory

    return make


@pytest.mark.parametrize("compact", [False, True])
def test_what_a_crash_left_over_is_removed(changed, compact):
    directory = changed(compact)
    live = f"{directory}.live"
    kept = names_in(live)
    os.makedirs(f"{live}/partial-abc")
    os.makedirs(f"{live}/index-7")
    for name in ("manifest.json.partial", "changes-7.log", "partial-abc/dataset.npy"):
        with open(f"{live}/{name}", "w") as file:
            file.write("{")
    index = LiveIndex(directory)
    assert names_in(live) == kept
    assert "new" in index
    index.close()


def export_again(directory, **description):
    path = os.path.join(directory, "manifest.json")
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**manifest, **description}, file)


@pytest.mark.parametrize("compact", [False, True])
def test_changes_carry_over_to_a_new_export_of_the_same_encoder(changed, compact):
    directory = changed(compact)
    index = LiveIndex(directory)
    index.delete(["3"])
    index.close()
    before = read_contents(directory)
    export_again(directory, recall={"k": 3, "target": 0.99})
    for opened in (read_contents, LiveIndex, read_contents):
        contents = opened(directory)
        assert contents.ids() == before.ids()
        queries = unit_rows(4, seed=2)
        found, expected = contents.search(queries, 20), before.search(queries, 20)
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])
        if opened is LiveIndex:
            contents.upsert(["newest"], unit_rows(1, seed=3))
            contents.close()
            before = read_contents(directory)
    assert "newest" in before and "new" in before and "3" not in before


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize(
    "other", [{"encoder_hash": "another"}, {"data": {"dataset": "npz:other.npz"}}]
)
def test_changes_to_an_export_of_another_encoder_or_data_are_refused(
    changed, compact, other
):
    directory = changed(compact)
    export_again(directory, **other)
    for opened in (LiveIndex, read_contents):
        with pytest.raises(
            ValueError,
            match=r"(?s)holds changes to an earlier export, of another encoder or .*"
            r"do not carry over: 1 items were added \(new\)\. Move the folder away.*"
            r"npid_tf.index add --export_dir=",
        ):
            opened(directory)
    shutil.move(f"{directory}.live", f"{directory}.old")
    index = LiveIndex(directory)
    assert other.items() <= index.manifest.items()
    assert "new" not in index
    index.close()


def test_where_nothing_was_changed_a_new_export_takes_over(make_index):
    directory = make_index(20)
    LiveIndex(directory).close()
    export_again(directory, encoder_hash="another")
    index = LiveIndex(directory)
    assert index.encoder_hash == "another"
    index.upsert(["new"], unit_rows(1, seed=1))
    index.close()
    assert "new" in read_contents(directory)


def test_a_log_that_is_missing_is_refused(changed):
    directory = changed(False)
    os.remove(f"{directory}.live/changes-0.log")
    for opened in (LiveIndex, read_contents):
        with pytest.raises(ValueError, match=r"changes-0.log is missing"):
            opened(directory)


def test_a_log_that_is_damaged_is_refused_by_readers_too(changed):
    directory = changed(False)
    index = LiveIndex(directory)
    index.upsert(["newer"], unit_rows(1, seed=2))
    index.close()
    path = f"{directory}.live/changes-0.log"
    data = np.fromfile(path, np.uint8)
    data[40] ^= 1
    data.tofile(path)
    for opened in (LiveIndex, read_contents):
        with pytest.raises(ValueError, match="is damaged at byte 0"):
            opened(directory)


def test_what_is_half_written_is_no_change_yet(changed):
    directory = changed(False)
    whole = make_upsert(["half"], unit_rows(1), None, 8).encode()
    with open(f"{directory}.live/changes-0.log", "ab") as file:
        file.write(whole[:30])
    contents = read_contents(directory)
    assert "new" in contents and "half" not in contents
