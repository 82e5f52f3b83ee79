"""`npid_tf.load_index`: read beside whoever writes, from either folder."""

import os

import pytest

from npid_tf import load_index
from npid_tf.errors import UserError
from npid_tf.search.live.index import LiveIndex, ReadOnlyError
from tests.support.vectors import unit_rows


def test_an_export_and_its_index_are_the_same(make_index):
    directory = make_index(30)
    export = os.path.dirname(directory)
    found = load_index(export).search(unit_rows(3), 4)
    assert found.ids == load_index(directory).search(unit_rows(3), 4).ids
    assert [line[0] for line in found.ids] == ["0", "1", "2"]
    assert found.similarities.shape == (3, 4) and found.exact is True


def test_it_writes_nothing_and_follows_a_writer(make_index):
    directory = make_index(30)
    index = load_index(directory)
    assert os.listdir(os.path.dirname(directory)) == ["index"]
    writer = LiveIndex(directory)
    (new,) = unit_rows(1, seed=1)
    writer.upsert(["new"], new[None])
    assert index.search(new[None], 1).ids == [["new"]]
    with pytest.raises(ReadOnlyError, match="can only be read"):
        index.delete(["new"])
    writer.close()


def test_what_is_no_index_is_refused_in_words(tmp_path):
    with pytest.raises(UserError, match="No index in"):
        load_index(tmp_path)
    with pytest.raises(UserError, match=r"`path` must be the path of a folder.*: 3"):
        load_index(3)
