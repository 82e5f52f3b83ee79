"""Images of before are found again, by name and contents, then by contents alone."""

import json

import numpy as np
import pytest

from npid_tf.data.sources.manifest import (
    fingerprint_of,
    match,
    part_of,
    read_manifest,
    refuse_corrupt,
    write_manifest,
)
from npid_tf.errors import FileError, UserError


def manifest(contents):
    """Of {path: contents}; a file is as long as its contents."""
    sizes = {path: len(text) for path, text in contents.items()}
    return {"paths": list(contents), "sizes": sizes, "contents": contents,
            "corrupt": []}  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "number_now", "order", "told"),
    [
        ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, [0, 1], [0, 1], (0, 0, 0, 0)),
        ({"b": "2"}, {"a": "1", "b": "2"}, [1], [1, 0], (1, 0, 0, 0)),  # One came,
        ({"a": "1", "b": "2"}, {"b": "2"}, [-1, 0], [0], (0, 1, 0, 0)),  # went,
        ({"a": "1", "c": "2"}, {"b": "1", "c": "2"}, [0, 1], [0, 1], (0, 0, 1, 0)),
        ({"a": "1"}, {"a": "2"}, [-1], [0], (0, 0, 0, 1)),  # has other contents,
        ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, [1, 0], [1, 0], (0, 0, 2, 0)),
        # Another took its name:
        ({"a": "1"}, {"a": "2", "b": "1"}, [1], [1, 0], (1, 0, 1, 0)),
        # Equal files: each is matched once, that of the same name first.
        ({"a": "1", "b": "1"}, {"b": "1", "c": "1"}, [1, 0], [1, 0], (0, 0, 1, 0)),
        ({"a": "1", "b": "1"}, {"c": "1"}, [0, -1], [0], (0, 1, 1, 0)),
        ({"a": "1"}, {"b": "1", "c": "1"}, [0], [0, 1], (1, 0, 1, 0)),
    ],
)
def test_rows_follow_their_images(before, now, number_now, order, told):
    matched = match(manifest(before), manifest(now))
    assert matched.number_now.tolist() == number_now
    assert matched.order.tolist() == order
    new, gone, renamed, changed = told
    assert (matched.renamed, matched.changed) == (renamed, changed)
    assert (matched.num_new, matched.num_gone) == (new + changed, gone + changed)
    same = len(before) - gone - renamed - changed
    assert matched.told() == (
        f"{new} new images, {gone} gone, {renamed} renamed, {changed} changed; {same} "
        "as they were"
    )


def test_any_mixture_of_changes_is_a_permutation_in_which_contents_agree():
    rng = np.random.default_rng(0)
    for _ in range(20):
        before, now = (
            {f"{name}": f"{rng.integers(9)}" for name in rng.permutation(30)[:20]}
            for _ in "12"
        )
        matched = match(manifest(before), manifest(now))
        assert sorted(matched.order) == list(range(20))
        kept = matched.number_now[matched.kept]
        assert matched.order[: len(kept)].tolist() == kept.tolist()
        assert np.all(np.diff(matched.order[len(kept) :]) > 0)
        old, new = list(before.values()), list(now.values())
        for row, number in enumerate(matched.number_now):
            assert number < 0 or old[row] == new[number]
        # None is left out that could have been matched.
        gone = {old[row] for row in np.flatnonzero(~matched.kept)}
        assert not gone & {new[number] for number in matched.order[len(kept) :]}


def test_without_contents_name_and_size_have_to_do():
    before = manifest({"a": "11", "b": "2", "c": "3"})
    del before["contents"]
    matched = match(before, manifest({"a": "44", "b": "222", "d": "3"}))
    assert matched.number_now.tolist() == [0, -1, -1]
    assert (matched.renamed, matched.changed) == (0, 1)


def test_a_part_has_a_fingerprint_of_its_own_names_sizes_and_contents():
    whole = manifest({"a": "1", "b": "2", "c": "3"})
    assert part_of(whole, [2, 0])["paths"] == ["c", "a"]
    first = fingerprint_of(part_of(whole, [0, 1]))
    assert first == fingerprint_of(manifest({"a": "1", "b": "2"}))
    others = ({"b": "2", "a": "1"}, {"a": "1", "b": "x"}, {"a": "1", "b": "22"})
    for other in others:
        assert first != fingerprint_of(manifest(other))


def test_what_is_written_is_read_also_names_of_any_bytes(tmp_path):
    path = str(tmp_path / "manifest.json")
    written = manifest({"a\udcff": "1", "ü": "2"})
    write_manifest(path, written)
    assert {key: read_manifest(path)[key] for key in written} == written


@pytest.mark.parametrize("content", ["", "[]", '{"paths": ["a"], "sizes": {}}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(FileError, match=r"manifest\.json is damaged"):
        read_manifest(str(path))


def test_a_manifest_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**manifest({"a": "1"}), "format": 99}))
    with pytest.raises(UserError, match=r"format 99.*install a newer"):
        read_manifest(str(path))


def test_files_that_no_longer_decode_are_named():
    refuse_corrupt("photos", [], 9)
    with pytest.raises(
        UserError, match=r"2 of 9 files in photos .*a.png, b.png.*: it is empty"
    ):
        refuse_corrupt("photos", ["a.png", "b.png"], 9, {"a.png": "it is empty"})
